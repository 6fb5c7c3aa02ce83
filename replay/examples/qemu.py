"""Compares the rows that `replay witness` wrote with another emulator: qemu-user, step by step.

    replay interpret prog.elf --trace prog.trace
    replay witness prog.trace --elf prog.elf --format parquet -o rows.parquet
    python3 replay/examples/qemu.py rows.parquet prog.elf

qemu prints all registers before every instruction. Compared are the pc and the values of registers before and
after; and that no other register changes. The stack is at another place there: its addresses are moved by one
distance, which must be the same throughout. For programs that read no arguments, input, clock or counters.
"""

import os
import subprocess
import sys

import polars as pl

SP, A0, ECALL = 2, 10, 0x73


def states(elf):
    """pc and registers before each instruction, as qemu prints them."""
    read, write = os.pipe()
    command = ["qemu-riscv64", "-singlestep", "-d", "nochain,cpu", "-D", f"/dev/fd/{write}", "-0", "guest", elf]
    qemu = subprocess.Popen(
        command, pass_fds=[write], env={}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    os.close(write)
    words = []
    with open(read) as log:
        for line in log:
            fields = line.split()
            if fields[:1] == ["pc"] and words:
                yield words[0], words[1:]
                words = []
            words += [int(value, 16) for value in fields[1::2]]
    qemu.wait()
    yield words[0], words[1:]


class Stack:
    """Values of qemu as Hartlog has them."""

    def __init__(self, sp):
        # The stack grows down; arguments are above.
        self.addresses = range(sp - (8 << 20), sp + (64 << 10))
        self.distance = None

    def same(self, value, ours):
        if value not in self.addresses:
            return value == ours
        if self.distance is None:
            self.distance = value - ours
        return value - ours == self.distance


def compare(rows, steps):
    done = exact = 0

    def fail(what):
        sys.exit(f"step {row['step']}, pc {row['pc']:#x} ({row['mnemonic']}): {what}")

    after = next(steps)
    stack = Stack(after[1][SP])
    for row in rows:
        if after is None:
            fail("qemu has ended")
        (pc, before), after = after, next(steps, None)
        if pc != row["pc"]:
            fail(f"qemu is at {pc:#x}")
        done += 1
        word, whole = row["word"], row["word"] & 3 == 3
        if whole and row["rs1"] is not None:
            exact += 1
            value = before[word >> 15 & 31]
            if not stack.same(value, row["rs1"]):
                fail(f"rs1 is {row['rs1']:#x}, qemu has {value:#x}")
        if after is None:
            continue
        changed = [i for i in range(32) if before[i] != after[1][i]]
        if row["rd"] is None:
            if changed:
                fail(f"qemu changes {changed}")
        elif whole:
            exact += 1
            rd = A0 if word == ECALL else word >> 7 & 31
            if not set(changed) <= {rd}:
                fail(f"qemu changes {changed}, expected {rd}")
            if not stack.same(after[1][rd], row["rd"]):
                fail(f"rd is {row['rd']:#x}, qemu has {after[1][rd]:#x}")
        elif len(changed) > 1 or not any(
            stack.same(after[1][i], row["rd"]) for i in changed or range(1, 32)
        ):
            # A compressed instruction: which register is in fewer bits, and the one that changes is it.
            fail(f"rd is {row['rd']:#x}, qemu changes {[(i, hex(after[1][i])) for i in changed]}")
    if after is not None:
        sys.exit("qemu goes on")
    return done, exact


table = pl.read_parquet(sys.argv[1], columns=["step", "pc", "word", "mnemonic", "rs1", "rd"])
done, exact = compare(table.iter_rows(named=True), states(sys.argv[2]))
print(f"qemu agrees: {done} instructions, {exact} registers by their number")
