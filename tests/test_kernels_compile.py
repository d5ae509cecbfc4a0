"""Every kernel through NVIDIA's own compiler, without a GPU: it compiles for each architecture, and spills nothing."""

import re

import pytest

from tinycnn import kernels
from tinycnn.devices.checks import compile_gate
from tinycnn.devices.checks.compile_gate import CompileError

GLOBAL = re.compile(r"__global__\s+void\s+(?:__launch_bounds__\(.*?\)\s+)?(\w+)\s*\(")


EVERY_ARCHITECTURE = pytest.mark.parametrize(
    "arch",
    [pytest.param(arch, marks=[] if i == 0 else pytest.mark.slow) for i, arch in enumerate(compile_gate.ARCHITECTURES)],
)


@EVERY_ARCHITECTURE
@pytest.mark.parametrize("name", kernels.INSTANCES)
def test_a_kernel_file_compiles_for_every_architecture_and_spills_nothing(nvrtc, name, arch):
    rows = compile_gate.compile_file(name, arch)
    assert len(rows) == len({row.kernel for row in rows}) > 0
    assert all(0 < row.registers <= 255 and row.shared <= 48 * 1024 for row in rows)
    accepted = "spills accepted:" in kernels.path(name).read_text().split("#include")[0]
    spills = [row for row in rows if row.spills]
    assert accepted or not spills, "registers spill to memory:\n" + compile_gate.table(spills)


def test_the_table_has_a_line_for_each_kernel_and_a_column_for_each_architecture(nvrtc):
    lines = compile_gate.table(compile_gate.report(["dropout"])).splitlines()
    assert lines[0].split() == ["kernel", *compile_gate.ARCHITECTURES, "shared", "spills"]
    assert [line.split()[0] for line in lines[1:]] == ["dropout<float>", "dropout<double>"]


def test_a_kernel_that_spills_is_found(nvrtc):
    sums = "\n".join(f"float a{i} = x[{i} * n];" for i in range(160))
    used = " + ".join(f"a{i} * y[{i} * n]" for i in range(160))
    source = f"""
    __global__ void __launch_bounds__(1024) greedy(const float* x, float* y, int n) {{
        {sums}
        __syncthreads();
        for (int i = 0; i < n; i++) y[i] = {used};
        y[n] = {" + ".join(f"a{i}" for i in range(160))};
    }}"""
    log, lowered = compile_gate.compile_log(source, "greedy.cu", ["greedy"], "sm_80")
    (row,) = compile_gate.rows_of(log, lowered, "greedy.cu", "sm_80")
    assert row.registers <= 64 and row.spills > 0 and row.stack > 0


def test_shared_memory_is_counted(nvrtc):
    source = """
    __global__ void k(float* x) {
        __shared__ float s[33];
        s[threadIdx.x] = x[threadIdx.x];
        __syncthreads();
        x[threadIdx.x] = s[32 - threadIdx.x];
    }"""
    log, lowered = compile_gate.compile_log(source, "k.cu", ["k"], "sm_90")
    (row,) = compile_gate.rows_of(log, lowered, "k.cu", "sm_90")
    assert row.shared >= 33 * 4 and row.spills == 0


def test_what_nvrtc_refuses_is_an_error_with_file_and_line(nvrtc):
    with pytest.raises(CompileError, match=r'k\.cu\(2\).*"INFINITY" is undefined'):
        compile_gate.compile_log("__global__ void k(float* x) {\n*x = INFINITY; }", "k.cu", ["k"], "sm_80")


# ---------------------------------------------------------------- what holds for every file, without a compiler


@pytest.mark.parametrize("name", kernels.INSTANCES)
def test_the_list_of_instances_names_every_kernel_of_the_file(name):
    text = kernels.path(name).read_text()
    listed = {instance.split("<")[0] for instance in kernels.INSTANCES[name]}
    assert listed == set(GLOBAL.findall(text))


def test_every_kernel_file_is_listed():
    assert {path.stem for path in kernels.FOLDER.glob("*.cu")} == set(kernels.INSTANCES)


@pytest.mark.parametrize("name", kernels.INSTANCES)
def test_kernels_keep_the_house_rules(name):
    """One include, no inline PTX, no sums by atomics, shuffles with their mask; a head that says what it is."""
    text = kernels.path(name).read_text()
    assert re.findall(r"#\s*include\s*(.*)", text) == ['"common.cuh"']
    code = re.sub(r"//.*", "", text + (kernels.FOLDER / "common.cuh").read_text())
    counts = "is_last = atomicAdd(arrivals, 1) == blocks - 1;"  # of last_to_arrive: blocks, not numbers
    assert code.count(counts) == 1
    code = code.replace(counts, "")
    assert not re.search(r"\basm\b|\batomic\w+\(|__shfl(_up|_down|_xor)?\(|__activemask", code)
    head = text.split("#include")[0]
    assert head.startswith("// ") and len(head.splitlines()) >= 5


def test_the_text_for_nvrtc_has_no_include_and_keeps_the_line_numbers():
    for name in kernels.INSTANCES:
        text, lines = kernels.source(name), kernels.path(name).read_text().splitlines()
        assert "#include" not in text
        number, file = re.findall(r'#line (\d+) "(.*)"', text)[-1]
        assert file == f"{name}.cu"
        after = text.split(f'#line {number} "{file}"\n')[1].splitlines()
        assert after == lines[int(number) - 1 :]


def test_instances_of_float_and_double():
    assert kernels.instances("relu", "float")[:2] == ("relu_forward<float>", "relu_backward<float>")
    assert "maxpool2d_forward<double, unsigned char, 4>" in kernels.instances("maxpool2d", "double")
    assert "advance<long long>" in kernels.instances("bookkeeping", "double")
