// What the programs of riscv-tests need from their environment: a user-mode program that exits
// with status 0, or with the number of the first case that failed (scripts/isa-tests).

#define RVTEST_RV64U
#define TESTNUM gp

#define RVTEST_CODE_BEGIN \
    .text;                \
    .globl _start;        \
    _start:

#define RVTEST_CODE_END unimp

#define EXIT      \
    li a7, 93;    \
    ecall

#define RVTEST_PASS \
    li a0, 0;       \
    EXIT

#define RVTEST_FAIL \
    mv a0, TESTNUM; \
    EXIT

#define EXTRA_DATA
#define RVTEST_DATA_BEGIN .balign 16;
#define RVTEST_DATA_END
