"""y = x * sigmoid(slope * x), with its gradients."""

from tinycnn.tensor import output_of


def swish(x, slope):
    device, of = x.device, x.device.elementwise
    exponential = of("exp", of("negative", of("multiply", slope.data, x.data)))
    sigmoid = of("divide", 1.0, of("add", 1.0, exponential))
    y = of("multiply", x.data, sigmoid)

    def backward(dy):
        bend = of("multiply", y, of("subtract", 1.0, sigmoid))  # x times the sigmoid's derivative
        dx = of("multiply", dy, of("add", sigmoid, of("multiply", slope.data, bend)))
        dslope = device.reduce("sum", of("multiply", dy, of("multiply", x.data, bend)), 0)
        return dx, dslope

    return output_of("swish", (x, slope), y, backward)
