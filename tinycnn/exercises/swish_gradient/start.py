"""y = x * sigmoid(slope * x), with its gradients."""

from tinycnn.tensor import output_of


def swish(x, slope):
    device, of = x.device, x.device.elementwise
    exponential = of("exp", of("negative", of("multiply", slope.data, x.data)))
    sigmoid = of("divide", 1.0, of("add", 1.0, exponential))
    y = of("multiply", x.data, sigmoid)

    def backward(dy):
        # Your lines here.
        return dy, device.reduce("sum", dy, 0)

    return output_of("swish", (x, slope), y, backward)
