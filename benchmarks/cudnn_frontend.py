"""cuDNN's own interface, where it is installed (`pip install nvidia-cudnn-frontend`): every plan that it has for a
convolution is tried, and the fastest is timed. Buffers, layouts and graphs are PyTorch's.
"""

from math import inf
from statistics import median

import cudnn
import torch
from cudnn_peer import TorchSide, poison, symmetric, to_host
from peer_torch import LAYOUTS
from sides import Bound, How

TRIALS = 5  # runs of every plan, to find the fastest
FLOAT = cudnn.data_type.FLOAT
NOT_STRICT = [cudnn.numerical_note.TENSOR_CORE, cudnn.numerical_note.DOWN_CONVERT_INPUTS]
HEURISTICS = [cudnn.heur_mode.A, cudnn.heur_mode.B, cudnn.heur_mode.FALLBACK]


class FrontendSide(TorchSide):
    def __init__(self):
        super().__init__("cuda")
        self.label, self.handle = "cuDNN frontend", cudnn.create_handle()
        self.fastest = {}  # (problem, direction, how): the index of the plan that was found

    def variants(self, problem, direction):
        if problem.operation != "conv2d":
            return {}
        ways = {f"all plans, {layout}": How(layout=layout) for layout in LAYOUTS}
        return ways | {f"{name}, TF32": how._replace(tf32=True) for name, how in ways.items()}

    def bind(self, problem, direction, how, inputs):
        on = {name: self.tensor(array, name, how.layout) for name, array in inputs.items()}
        graph, places, result = self.graph(problem, direction, how, on)
        shape, workspaces = result.get_dim(), {}

        def run(index):
            output = torch.empty(shape, device=self.device, memory_format=LAYOUTS[how.layout])
            if index not in workspaces:
                size = graph.get_workspace_size_plan_at_index(index)
                workspaces[index] = torch.empty(max(1, size), dtype=torch.uint8, device=self.device)
            cudnn.set_stream(handle=self.handle, stream=torch.cuda.current_stream().cuda_stream)
            pack = {places[name]: tensor for name, tensor in on.items()} | {result: output}
            graph.execute_plan_at_index(pack, workspaces[index], index=index, handle=self.handle)
            return (output,)

        key = problem, direction, how
        if key not in self.fastest:
            times = [self.time(run, index) for index in range(graph.get_execution_plan_count())]
            if not times or min(times) == inf:
                raise RuntimeError("cuDNN has no plan for it")
            self.fastest[key] = times.index(min(times))
            workspaces.clear()
        axes = (2, 3, 1, 0) if direction == "backward_filter" else (0, 2, 3, 1)
        return Bound(lambda: run(self.fastest[key]), lambda outputs: to_host(outputs, axes), poison)

    def time(self, run, index):
        """Seconds of one run of this plan, launch included; infinity where it does not run."""
        try:
            run(index)
            marks = [(self.marks.now(), run(index), self.marks.now()) for _ in range(TRIALS)]
        except (RuntimeError, cudnn.cudnnGraphNotSupportedError):  # a plan may turn out not to fit
            return inf
        return median(self.marks.between(begin, end) for begin, _, end in marks)

    def graph(self, problem, direction, how, on):
        """(the graph with all plans built, {name: its tensor of this input}, its tensor of the result)."""
        graph = cudnn.pygraph(
            handle=self.handle, io_data_type=FLOAT, intermediate_data_type=FLOAT, compute_data_type=FLOAT
        )
        places = {
            name: graph.tensor(name=name, dim=list(t.shape), stride=list(t.stride()), data_type=FLOAT)
            for name, t in on.items()
        }
        window = {"padding": symmetric(problem.padding), "stride": list(problem.stride), "dilation": [1, 1]}
        (N, H, W, C), (R, S, _, K) = problem.x_shape, problem.w_shape
        if direction == "forward":
            result, shape = graph.conv_fprop(image=places["x"], weight=places["w"], **window), on_y(problem)
        elif direction == "backward_data":
            result, shape = graph.conv_dgrad(loss=places["dy"], filter=places["w"], **window), (N, C, H, W)
        else:
            result, shape = graph.conv_wgrad(image=places["x"], loss=places["dy"], **window), (K, C, R, S)
        like = torch.empty(shape, device="meta", memory_format=LAYOUTS[how.layout])
        result.set_output(True).set_dim(list(shape)).set_stride(list(like.stride())).set_data_type(FLOAT)
        graph.validate()
        graph.build_operation_graph()
        graph.create_execution_plans(HEURISTICS)
        if not how.tf32:
            graph.deselect_numeric_notes(NOT_STRICT)
        graph.check_support()
        graph.build_plans(cudnn.build_plan_policy.ALL)
        return graph, places, result


def on_y(problem):
    N, P, Q, K = problem.y_shape
    return N, K, P, Q
