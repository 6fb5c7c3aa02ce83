"""Reads the tables that `replay witness` wrote and computes again what they say, with Polars.

    replay witness prog.trace --elf prog.elf --format parquet -o rows.parquet --memory-ops memory.parquet
    replay counts prog.trace --elf prog.elf --json > counts.json
    python3 replay/examples/witness.py rows.parquet memory.parquet counts.json

Works for Arrow files (`--format arrow`) too. Needs all columns, and a program whose environment calls write
nothing to memory that it reads: what the host writes is not a memory operation of an instruction.
"""

import json
import sys

import polars as pl


def read(path):
    return (pl.read_ipc if path.endswith(".arrow") else pl.read_parquet)(path)


def expect(what, wrong):
    """`wrong` holds the rows that should not be there."""
    print(f"{what}: {'ok' if wrong.is_empty() else 'WRONG'}")
    if not wrong.is_empty():
        sys.exit(str(wrong.head(5)))


rows, memory = read(sys.argv[1]), read(sys.argv[2])
with open(sys.argv[3]) as file:
    counted = json.load(file)["operations"]
rs1, rs2, rd, pc = (pl.col(name) for name in ("rs1", "rs2", "rd", "pc"))
signed = [pl.col(name).reinterpret(signed=True) for name in ("rs1", "rs2")]

# Executions of each operation.
counts = rows.group_by(pl.col("mnemonic").cast(pl.String)).len()
if {name: number for name, number in counts.rows()} != counted:
    sys.exit(f"counts differ: {counts}")
print(f"{rows.height} instructions, {memory.height} memory operations; counts of operations: ok")

# Every step follows the one before it.
expect("steps", rows.filter(pl.col("step").diff() != 1))
expect("next pc", rows.filter(pl.col("next_pc").shift() != pc))

# Results of operations. A result that goes to x0 is null, which compares as neither true nor false.
results = {
    "add": rs1 + rs2,
    "addi": rs1 + rs2,
    "sub": rs1 - rs2,
    "and": rs1 & rs2,
    "andi": rs1 & rs2,
    "or": rs1 | rs2,
    "xor": rs1 ^ rs2,
    "xori": rs1 ^ rs2,
    "sltu": (rs1 < rs2).cast(pl.UInt64),
    "slt": (signed[0] < signed[1]).cast(pl.UInt64),
    "lui": rs2,
    "auipc": pc + rs2,
}
for name, result in results.items():
    expect(name, rows.filter((pl.col("mnemonic") == name) & (rd != result)))

# Both tables tell of the same accesses.
accesses = [
    rows.filter(pl.col(name).is_not_null()).select("step", "address", value=name, is_write=pl.lit(write))
    for name, write in (("read", False), ("written", True))
]
same = pl.concat(accesses).sort("step", "is_write")
if not same.equals(memory.select("step", "address", "value", "is_write")):
    sys.exit("the tables have other memory operations")
print("memory operations: ok")

# Every byte that is read is what the last access left there.
index = memory.with_row_index("order")
at = pl.concat(
    index.filter(pl.col("width") > i).select(
        "order", "step", "is_write", at=pl.col("address") + i, byte=pl.col("value") // 256**i % 256
    )
    for i in range(8)
)
at = at.sort("at", "order").with_columns(before=pl.col("byte").shift().over("at"))
expect("values read", at.filter(~pl.col("is_write") & (pl.col("byte") != pl.col("before"))))
