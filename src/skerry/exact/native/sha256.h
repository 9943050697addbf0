/* The root over a tensor's leaves, by the rule of skerry.commit: see sha256.c. */
#ifndef SKERRY_SHA256_H
#define SKERRY_SHA256_H

#include "common.h"

#define PREFIX_MAX 63 /* a prefix lies within the first block */

/* How a tensor's bytes are cut: rows of `row` bytes, each into leaves of at most `leaf` bytes, and
   what stands before the bytes of every leaf when it is hashed. */
typedef struct {
    i64 row, leaf, prefix_bytes;
    const u8 *prefix;
} Cut;

/* Whether this CPU has instructions for SHA-256 that this build can use. */
int skerry_sha_instructions(void);

/* Writes the Merkle root over the leaves of data[0:bytes]. Both choices give equal bits. */
void skerry_tensor_root(const u8 *data, i64 bytes, const Cut *cut, int instructions, u8 root[32]);

#endif
