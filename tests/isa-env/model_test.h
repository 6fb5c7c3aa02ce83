// What the programs of riscv-arch-test need from their environment: a user-mode program that writes
// its signature to standard output (scripts/arch-test).

#define RVMODEL_BOOT

#define RVMODEL_HALT           \
    li a0, 1;                  \
    la a1, begin_signature;    \
    la a2, end_signature;      \
    sub a2, a2, a1;            \
    li a7, 64;                 \
    ecall;                     \
    li a0, 0;                  \
    li a7, 93;                 \
    ecall;

#define RVMODEL_DATA_BEGIN     \
    .balign 16;                \
    .globl begin_signature;    \
    begin_signature:

#define RVMODEL_DATA_END       \
    .balign 16;                \
    .globl end_signature;      \
    end_signature:

#define RVMODEL_IO_INIT
#define RVMODEL_IO_CHECK()
#define RVMODEL_IO_WRITE_STR(register, string)
#define RVMODEL_IO_ASSERT_GPR_EQ(scratch, register, value)
