"""What is read in a kernel's disassembly: instructions, jumps, and the inner loop."""

import importlib
import os
import stat

import pytest

from tinycnn.devices.checks import compile_gate, disassembly
from tinycnn.devices.checks.disassembly import DisassemblyError, NvdisasmMissing

# Two loops, one in the other. A part of the inner one stands behind the end, as compilers put what is rarely reached.
# The last line is what they fill up with; nothing leads there.
NESTED = """
	.section	.text.nested,"ax",@progbits
.text.nested:
        /*0000*/                   MOV R1, c[0x0][0x28] ;
        /*0010*/              @!P0 BRA `(.L_x_9) ;
.L_x_1:
        /*0020*/                   FFMA R2, R2, R3, R4 ;
        /*0030*/                   MOV R7, RZ ;
.L_x_2:
        /*0040*/                   FFMA.FTZ R2, R2, R3, R4 ;
        /*0050*/                   LDS.128 R8, [R6] ;
        /*0060*/                   FFMA R5, R5.reuse, R3, R4 ;
        /*0070*/               @P1 BRA `(.L_x_7) ;
.L_x_3:
        /*0080*/                   BRA P2, `(.L_x_2) ;
        /*0090*/               @P3 BRA `(.L_x_1) ;
.L_x_9:
        /*00a0*/                   EXIT ;
.L_x_7:
        /*00b0*/                   IADD3 R6, R6, 0x10, RZ ;
        /*00c0*/                   BRA `(.L_x_3) ;
.L_x_8:
        /*00d0*/                   BRA `(.L_x_8);
"""


def test_the_inner_loop_is_the_one_with_no_other_in_it():
    (listing,) = disassembly.read(NESTED).values()
    loop = disassembly.inner_loop(listing)
    assert [one.address for one in loop.instructions] == [0x40, 0x50, 0x60, 0x70, 0x80, 0xB0, 0xC0]
    assert loop.fmas == 2 and loop.share == 2 / 7 and loop.count("LDS") == 1


SIDE_BY_SIDE = """
.text.both:
.L_x_0:
        /*0000*/                   LDG.E R2, [R4] ;
        /*0010*/                   FFMA R2, R2, R3, R4 ;
        /*0020*/                   STS [R6], R2 ;
        /*0030*/               @P0 BRA `(.L_x_0) ;
.L_x_1:
        /*0040*/                   FFMA R2, R2, R3, R4 ;
        /*0050*/                   DFMA R6, R6, R8, R8 ;
        /*0060*/               @P0 BRA.U `(.L_x_1) ;
        /*0070*/                   EXIT ;
"""


def test_of_several_it_is_the_one_that_multiplies_most():
    loop = disassembly.inner_loop(disassembly.read(SIDE_BY_SIDE)["both"])
    assert [one.address for one in loop.instructions] == [0x40, 0x50, 0x60] and loop.fmas == 2


def test_a_kernel_without_a_loop_has_no_inner_one():
    listing = disassembly.read(".text.k:\n /*0000*/  FFMA R1, R1, R1, R1 ;\n /*0010*/  EXIT ;\n")["k"]
    assert disassembly.inner_loop(listing) is None


def test_a_jump_to_nowhere_is_an_error():
    with pytest.raises(DisassemblyError, match=r"no place '\.L_x_5'"):
        disassembly.read(".text.k:\n /*0000*/  BRA `(.L_x_5) ;\n")


@pytest.fixture
def nvdisasm():
    """NVIDIA's disassembler; without it the test is skipped."""
    try:
        return disassembly.find_nvdisasm()
    except NvdisasmMissing as error:
        pytest.skip(str(error))


TWELVE = """
extern "C" __global__ void twelve(float* x, int n) {
    float a = x[0], b = x[1];
#pragma unroll 1
    for (int i = 0; i < n; i++) {
        const float c = x[i];
#pragma unroll
        for (int j = 0; j < 12; j++) a = a * b + c;
    }
    x[0] = a;
}
"""


@pytest.mark.parametrize("arch", compile_gate.ARCHITECTURES)
def test_what_nvidias_tools_give_is_understood(nvrtc, nvdisasm, arch):
    program = compile_gate.compile_program(TWELVE, "twelve.cu", ["twelve"], arch)
    (listing,) = disassembly.disassemble(nvdisasm, program.code).values()
    loop = disassembly.inner_loop(listing)
    assert loop.fmas == 12 and loop.count("LDG") == 1 and 0.5 < loop.share < 1
    assert 16 * len(listing) == program.code_sizes()["twelve"]


def test_nvdisasm_refuses_what_is_no_code(nvdisasm):
    with pytest.raises(DisassemblyError, match="status"):
        disassembly.disassemble(nvdisasm, b"no code")


# ---------------------------------------------------------------- where it is found


def a_program(folder):
    folder.mkdir(parents=True)
    path = folder / "nvdisasm"
    path.write_text("#!/bin/sh\necho 'Cuda compilation tools, release 12.8, V12.8.55'\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def nothing(monkeypatch, tmp_path):
    """A machine without it."""
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.setattr(disassembly, "TOOLKIT", tmp_path / "no toolkit")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for name in ("CUDA_HOME", "CUDA_PATH"):
        monkeypatch.delenv(name, raising=False)


def test_it_is_looked_for_on_the_path_in_a_toolkit_and_in_triton(nothing, monkeypatch, tmp_path):
    with pytest.raises(NvdisasmMissing, match="pip install triton"):
        disassembly.find_nvdisasm()
    triton = a_program(tmp_path / "site" / "triton" / "backends" / "nvidia" / "bin")
    (tmp_path / "site" / "triton" / "__init__.py").write_text("raise RuntimeError('not to be imported')")
    monkeypatch.undo()
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.setattr(disassembly, "TOOLKIT", tmp_path / "toolkit")
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert disassembly.find_nvdisasm() == triton
    toolkit = a_program(tmp_path / "toolkit" / "bin")
    assert disassembly.find_nvdisasm() == toolkit
    home = a_program(tmp_path / "home" / "bin")
    monkeypatch.setenv("CUDA_HOME", str(tmp_path / "home"))
    assert disassembly.find_nvdisasm() == home
    on_path = a_program(tmp_path / "on path")
    monkeypatch.setenv("PATH", os.pathsep.join([str(on_path.parent), "/bin", "/usr/bin"]))
    assert disassembly.find_nvdisasm() == on_path
    assert disassembly.release(on_path) == "12.8"
