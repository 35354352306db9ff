"""A long-lived process gives large blocks back. In a process of its own: the setting is for good."""

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import ctypes
from uip2p.serving.heap import EVERY, Heap, keep_small

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
heap = Heap()
if "{how}" == "small":
    assert keep_small()
for size in (20_000_000, 24_000_000):  # freed once, glibc keeps blocks of up to this size
    libc.free(libc.malloc(size))
before = resident()
blocks = [libc.malloc(4_000_000) for _ in range(20)]
small = [libc.malloc(64) for _ in range(20)]
for block in blocks:
    ctypes.memset(block, 1, 4_000_000)
last = libc.malloc(4_000_000)  # above them in the heap, so that its top cannot shrink
for block in blocks:
    libc.free(block)
heap.give_back()  # too soon
if "{how}" == "given back":
    heap.given -= EVERY + 1
    heap.give_back()
print(resident() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc")
def test_large_blocks_go_back_to_the_system():
    def kept(how: str) -> int:
        command = [sys.executable, "-c", PROGRAM.replace("{how}", how)]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    assert kept("by itself") > 40_000_000  # what both are for
    assert kept("small") < 10_000_000
    assert kept("given back") < 10_000_000
