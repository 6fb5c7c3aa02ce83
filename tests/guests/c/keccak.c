/* SHA3-256 and Keccak-256: chains of hashes over a 1 KiB message. */
#include "keccak.h"

int guest_main(int argc, char **argv) {
    u64 count = g_arg(argc, argv, 1, 120);
    u8 digest[32];
    keccak256((const u8 *)"", 0, 0x06, digest);
    g_line_bytes("sha3-256", digest, 32);
    g_check(digest[0] == 0xa7 && digest[31] == 0x4a, "sha3-256 of nothing");
    keccak256((const u8 *)"", 0, 0x01, digest);
    g_line_bytes("keccak-256", digest, 32);
    g_check(digest[0] == 0xc5 && digest[31] == 0x70, "keccak-256 of nothing");

    static u8 message[1024];
    u64 seed = 2;
    for (size_t i = 0; i < sizeof message; i++)
        message[i] = (u8)g_rand(&seed);
    for (u64 i = 0; i < count; i++) {
        keccak256(message, sizeof message, i & 1 ? 0x06 : 0x01, digest);
        memcpy(message + 32 * (i % 32), digest, 32);
    }
    g_line_bytes("keccak", digest, 32);
    return 0;
}
