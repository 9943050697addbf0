/* The root over a tensor's leaves in one pass: SHA-256, leaves and nodes, no interpreter.

   What    `skerry_tensor_root` hashes each leaf behind its prefix and joins the digests as they
           come, keeping one subtree root for each height, as a binary counter keeps its digits.
   Why     A leaf is 2 KiB: in Python, calling the hash costs as much as the hash. Neighbouring
           leaves are independent, so two of them share the SHA unit, which alone would wait.
   Source  FIPS 180-4, sections 5 and 6.2; the tree is skerry.base.digests, which decides.
   Rule    The instructions are asked for at run time. Without them the portable text below gives
           the same bits. */
#include "sha256.h"

#if (defined(__x86_64__) || defined(_M_X64)) && defined(__GNUC__)
#define SHA_NI 1
#include <cpuid.h>
#include <immintrin.h>
#else
#define SHA_NI 0
#endif

#define LANES 2 /* messages of equal length hashed side by side */
#define BLOCK 64
#define DIGEST 32
#define HEIGHTS 64 /* a tree has fewer than 2^63 leaves */

static const u32 INITIAL[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                               0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
static const u32 ROUND[64] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

/* Takes `blocks` blocks of each lane into that lane's state. */
typedef void (*Absorb)(int lanes, u32 state[][8], const u8 *const *from, i64 blocks);

static inline u32 big_endian(const u8 *p) { return (u32)p[0] << 24 | (u32)p[1] << 16 | (u32)p[2] << 8 | p[3]; }
static inline void put_big_endian(u8 *p, u32 x) {
    for (int k = 0; k < 4; k++) p[k] = (u8)(x >> (24 - 8 * k));
}
static inline u32 rotate(u32 x, int by) { return x >> by | x << (32 - by); }

/* One round; the caller turns the names instead of moving the words. */
#define ONE_ROUND(a, b, c, d, e, f, g, h, t)                                                       \
    h += (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + (g ^ (e & (f ^ g))) + ROUND[t] + w[(t) & 15]; \
    d += h;                                                                                        \
    h += (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & b) | (c & (a | b)));
#define EIGHT_ROUNDS(t)                                                                            \
    ONE_ROUND(a, b, c, d, e, f, g, h, (t)) ONE_ROUND(h, a, b, c, d, e, f, g, (t) + 1)              \
    ONE_ROUND(g, h, a, b, c, d, e, f, (t) + 2) ONE_ROUND(f, g, h, a, b, c, d, e, (t) + 3)          \
    ONE_ROUND(e, f, g, h, a, b, c, d, (t) + 4) ONE_ROUND(d, e, f, g, h, a, b, c, (t) + 5)          \
    ONE_ROUND(c, d, e, f, g, h, a, b, (t) + 6) ONE_ROUND(b, c, d, e, f, g, h, a, (t) + 7)

static void absorb_block(u32 s[8], const u8 *from) {
    u32 w[16], a = s[0], b = s[1], c = s[2], d = s[3], e = s[4], f = s[5], g = s[6], h = s[7];
    for (int t = 0; t < 16; t++) w[t] = big_endian(from + 4 * t);
    for (int turn = 0; turn < 64; turn += 16) {
        EIGHT_ROUNDS(turn) EIGHT_ROUNDS(turn + 8)
        for (int t = 0; t < 16; t++) { /* the words of sixteen rounds on */
            u32 x = w[(t + 1) & 15], y = w[(t + 14) & 15];
            w[t] += (rotate(x, 7) ^ rotate(x, 18) ^ x >> 3) + w[(t + 9) & 15];
            w[t] += rotate(y, 17) ^ rotate(y, 19) ^ y >> 10;
        }
    }
    s[0] += a, s[1] += b, s[2] += c, s[3] += d, s[4] += e, s[5] += f, s[6] += g, s[7] += h;
}

static void absorb_portable(int lanes, u32 state[][8], const u8 *const *from, i64 blocks) {
    for (int lane = 0; lane < lanes; lane++)
        for (i64 block = 0; block < blocks; block++) absorb_block(state[lane], from[lane] + block * BLOCK);
}

#if SHA_NI
#define SHA_TARGET __attribute__((target("sha,sse4.1")))

/* Four rounds of every lane with the words w[][i], which then become those of sixteen rounds on. */
#define FOUR_ROUNDS(t, i, j, k, l)                                                                 \
    for (int lane = 0; lane < lanes; lane++) {                                                     \
        __m128i due = _mm_add_epi32(w[lane][i], _mm_load_si128((const __m128i *)(ROUND + (t))));   \
        cdgh[lane] = _mm_sha256rnds2_epu32(cdgh[lane], abef[lane], due);                           \
        abef[lane] = _mm_sha256rnds2_epu32(abef[lane], cdgh[lane], _mm_shuffle_epi32(due, 0x0e));  \
        if ((t) < 48) {                                                                            \
            __m128i low = _mm_sha256msg1_epu32(w[lane][i], w[lane][j]);                            \
            low = _mm_add_epi32(low, _mm_alignr_epi8(w[lane][l], w[lane][k], 4));                  \
            w[lane][i] = _mm_sha256msg2_epu32(low, w[lane][l]);                                    \
        }                                                                                          \
    }
#define SIXTEEN_ROUNDS(t)                                                                          \
    FOUR_ROUNDS((t), 0, 1, 2, 3) FOUR_ROUNDS((t) + 4, 1, 2, 3, 0)                                  \
    FOUR_ROUNDS((t) + 8, 2, 3, 0, 1) FOUR_ROUNDS((t) + 12, 3, 0, 1, 2)

/* The instructions want the state as words a b e f and c d g h, the first word highest. */
static inline __attribute__((always_inline)) SHA_TARGET void absorb_ni_lanes(int lanes, u32 state[][8],
                                                                             const u8 *const *from, i64 blocks) {
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
    __m128i abef[LANES], cdgh[LANES], before[LANES][2], w[LANES][4];
    for (int lane = 0; lane < lanes; lane++) {
        const u32 *s = state[lane];
        abef[lane] = _mm_set_epi32((i32)s[0], (i32)s[1], (i32)s[4], (i32)s[5]);
        cdgh[lane] = _mm_set_epi32((i32)s[2], (i32)s[3], (i32)s[6], (i32)s[7]);
    }
    for (i64 block = 0; block < blocks; block++) {
        for (int lane = 0; lane < lanes; lane++) {
            const __m128i *words = (const __m128i *)(from[lane] + block * BLOCK);
            before[lane][0] = abef[lane];
            before[lane][1] = cdgh[lane];
            for (int k = 0; k < 4; k++) w[lane][k] = _mm_shuffle_epi8(_mm_loadu_si128(words + k), swap);
        }
        SIXTEEN_ROUNDS(0) SIXTEEN_ROUNDS(16) SIXTEEN_ROUNDS(32) SIXTEEN_ROUNDS(48)
        for (int lane = 0; lane < lanes; lane++) {
            abef[lane] = _mm_add_epi32(abef[lane], before[lane][0]);
            cdgh[lane] = _mm_add_epi32(cdgh[lane], before[lane][1]);
        }
    }
    for (int lane = 0; lane < lanes; lane++) {
        u32 ab[4], cd[4];
        _mm_storeu_si128((__m128i *)ab, abef[lane]);
        _mm_storeu_si128((__m128i *)cd, cdgh[lane]);
        const u32 after[8] = {ab[3], ab[2], cd[3], cd[2], ab[1], ab[0], cd[1], cd[0]};
        memcpy(state[lane], after, sizeof after);
    }
}

static SHA_TARGET void absorb_ni(int lanes, u32 state[][8], const u8 *const *from, i64 blocks) {
    if (lanes == LANES) absorb_ni_lanes(LANES, state, from, blocks);
    else absorb_ni_lanes(1, state, from, blocks);
}
#endif

int skerry_sha_instructions(void) {
#if SHA_NI
    unsigned int a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_SSE4_1)) return 0;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b >> 29 & 1);
#else
    return 0;
#endif
}

static Absorb absorb_by(int instructions) {
#if SHA_NI
    if (instructions) return absorb_ni;
#endif
    (void)instructions;
    return absorb_portable;
}

/* Hashes prefix || from[lane][0:bytes] for each lane. Only the first block, which the prefix
   shifts, and the last are copied. */
static void hash(Absorb absorb, int lanes, const u8 *prefix, i64 prefix_bytes, const u8 *const *from, i64 bytes,
                 u8 (*out)[DIGEST]) {
    u8 edge[LANES][2 * BLOCK];
    u32 state[LANES][8];
    u64 bits = (u64)(prefix_bytes + bytes) * 8;
    const u8 *edges[LANES], *middle[LANES];
    i64 whole = (prefix_bytes + bytes) / BLOCK, rest = (prefix_bytes + bytes) % BLOCK;
    i64 shift = BLOCK - prefix_bytes, last = rest + 9 > BLOCK ? 2 : 1;
    for (int lane = 0; lane < lanes; lane++) {
        memcpy(state[lane], INITIAL, sizeof INITIAL);
        memcpy(edge[lane], prefix, (size_t)prefix_bytes);
        memcpy(edge[lane] + prefix_bytes, from[lane], (size_t)(whole ? shift : bytes));
        edges[lane] = edge[lane];
        middle[lane] = whole ? from[lane] + shift : NULL;
    }
    if (whole) absorb(lanes, state, edges, 1);
    if (whole > 1) absorb(lanes, state, middle, whole - 1);
    for (int lane = 0; lane < lanes; lane++) {
        u8 *end = edge[lane] + last * BLOCK;
        if (whole) memcpy(edge[lane], from[lane] + bytes - rest, (size_t)rest);
        memset(edge[lane] + rest, 0, (size_t)(last * BLOCK - rest));
        edge[lane][rest] = 0x80;
        put_big_endian(end - 8, (u32)(bits >> 32));
        put_big_endian(end - 4, (u32)bits);
    }
    absorb(lanes, state, edges, last);
    for (int lane = 0; lane < lanes; lane++)
        for (int k = 0; k < 8; k++) put_big_endian(out[lane] + 4 * k, state[lane][k]);
}

/* The subtree roots that wait for a right-hand neighbour: bit h of `count` says that one of height
   h does. */
typedef struct {
    Absorb absorb;
    u64 count;
    u8 waiting[HEIGHTS][DIGEST];
} Tree;

static void join(const Tree *tree, const u8 *left, const u8 *right, u8 *out) {
    u8 pair[2 * DIGEST];
    const u8 *from = pair, one = 1;
    memcpy(pair, left, DIGEST);
    memcpy(pair + DIGEST, right, DIGEST);
    hash(tree->absorb, 1, &one, 1, &from, sizeof pair, (u8(*)[DIGEST])out);
}

static void add_leaf(Tree *tree, u8 *leaf) {
    int height = 0;
    for (; tree->count >> height & 1; height++) join(tree, tree->waiting[height], leaf, leaf);
    memcpy(tree->waiting[height], leaf, DIGEST);
    tree->count++;
}

/* Writes the root over the leaves so far, padded with digests of zeros to a power of two. */
static void close_tree(const Tree *tree, u8 root[DIGEST]) {
    u8 padding[DIGEST] = {0}; /* the root of 2^height leaves of padding */
    memset(root, 0, DIGEST);
    if (!tree->count) return;
    u64 last = tree->count - 1; /* the place of `root` in the row of its height, which it ends */
    int started = 0;
    for (int height = 0; last || !started; height++, last >>= 1) {
        if (!started && tree->count >> height & 1) {
            memcpy(root, tree->waiting[height], DIGEST);
            started = 1;
            if (!last) return;
        }
        if (started && last & 1) join(tree, tree->waiting[height], root, root);
        else if (started) join(tree, root, padding, root);
        join(tree, padding, padding, padding);
    }
}

void skerry_tensor_root(const u8 *data, i64 bytes, const Cut *cut, int instructions, u8 root[32]) {
    Tree tree = {.absorb = absorb_by(instructions && skerry_sha_instructions())};
    for (i64 at = 0, place = 0; at < bytes;) { /* `place` is that of `at` within its row */
        const u8 *from[LANES];
        u8 leaves[LANES][DIGEST];
        i64 size = 0;
        int lanes = 0;
        while (lanes < LANES && at < bytes) {
            i64 due = cut->row - place < cut->leaf ? cut->row - place : cut->leaf;
            if (lanes && due != size) break;
            from[lanes++] = data + at;
            size = due;
            at += due;
            place = place + due < cut->row ? place + due : 0;
        }
        hash(tree.absorb, lanes, cut->prefix, cut->prefix_bytes, from, size, leaves);
        for (int lane = 0; lane < lanes; lane++) add_leaf(&tree, leaves[lane]);
    }
    close_tree(&tree, root);
}
