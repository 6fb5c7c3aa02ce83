/* JSON (RFC 8259): generates documents, parses them into a tree, walks it, and
 * writes it out again; the second text must equal the first. */
#include "guest.h"

enum kind { NIL, FALSE, TRUE, NUMBER, STRING, ARRAY, OBJECT };

typedef struct value {
    enum kind kind;
    u32 length;         /* of a string */
    struct value *next; /* in the surrounding array or object */
    union {
        i64 number;
        const char *text;
        struct value *first; /* in an object: key, value, key, value, ... */
    };
} value;

enum { TEXT = 48 * 1024, VALUES = 16 * 1024 };

static char source[TEXT], written[TEXT], strings[TEXT];
static value values[VALUES];
static size_t values_used, strings_used;

/* ---- writer ---- */

typedef struct {
    char *at, *end;
} output;

static void put(output *o, char c) {
    if (o->at < o->end)
        *o->at++ = c;
}

static void put_text(output *o, const char *s) {
    while (*s)
        put(o, *s++);
}

static void put_string(output *o, const char *s, u32 n) {
    put(o, '"');
    for (; n; n--, s++) {
        u8 c = (u8)*s;
        if (c == '"' || c == '\\') {
            put(o, '\\');
            put(o, (char)c);
        } else if (c == '\n') {
            put_text(o, "\\n");
        } else if (c < 0x20) {
            put_text(o, "\\u00");
            put(o, "0123456789abcdef"[c >> 4]);
            put(o, "0123456789abcdef"[c & 15]);
        } else {
            put(o, (char)c);
        }
    }
    put(o, '"');
}

static void put_number(output *o, i64 v) {
    char digits[20];
    int n = 0;
    u64 u = v < 0 ? 0 - (u64)v : (u64)v;
    if (v < 0)
        put(o, '-');
    do
        digits[n++] = (char)('0' + u % 10);
    while (u /= 10);
    while (n)
        put(o, digits[--n]);
}

static void generate(output *o, u64 *seed, int depth) {
    u64 r = g_rand(seed);
    if (o->end - o->at < TEXT / 8) {
        put_text(o, "null");
        return;
    }
    if (depth > 0 && (depth > 3 || r % 3)) {
        bool object = r & 8;
        put(o, object ? '{' : '[');
        for (u64 n = 2 + (r >> 8) % 6, i = 0; i < n; i++) {
            if (i)
                put(o, ',');
            if (object) {
                char key[4] = {(char)('a' + i), (char)('a' + (r >> 16) % 26), '_', '\n'};
                put_string(o, key, 2 + (u32)(g_rand(seed) % 3));
                put(o, ':');
            }
            generate(o, seed, depth - 1);
        }
        put(o, object ? '}' : ']');
        return;
    }
    switch ((r >> 20) % 8) {
    case 0: put_text(o, "true"); break;
    case 1: put_text(o, "false"); break;
    case 2: put_text(o, "null"); break;
    case 3: case 4: case 5: put_number(o, (i64)g_rand(seed) >> (r >> 40 & 63)); break;
    default: {
        char text[32];
        u32 n = (u32)(r >> 32) % 32;
        for (u32 i = 0; i < n; i++) {
            u64 c = g_rand(seed) % 100;
            text[i] = (char)(c < 90 ? 33 + c : c < 94 ? '"' : c < 97 ? '\n' : c - 90);
        }
        put_string(o, text, n);
    }
    }
}

static void print(output *o, const value *v) {
    switch (v->kind) {
    case NIL: put_text(o, "null"); break;
    case FALSE: put_text(o, "false"); break;
    case TRUE: put_text(o, "true"); break;
    case NUMBER: put_number(o, v->number); break;
    case STRING: put_string(o, v->text, v->length); break;
    case ARRAY:
        put(o, '[');
        for (const value *e = v->first; e; e = e->next) {
            print(o, e);
            if (e->next)
                put(o, ',');
        }
        put(o, ']');
        break;
    case OBJECT:
        put(o, '{');
        for (const value *k = v->first; k; k = k->next->next) {
            print(o, k);
            put(o, ':');
            print(o, k->next);
            if (k->next->next)
                put(o, ',');
        }
        put(o, '}');
        break;
    }
}

/* ---- parser ---- */

static const char *in;

static void spaces(void) {
    while (*in == ' ' || *in == '\n' || *in == '\t' || *in == '\r')
        in++;
}

static void expect(const char *word) {
    while (*word)
        g_check(*in++ == *word++, "token");
}

static u32 hex4(void) {
    u32 v = 0;
    for (int i = 0; i < 4; i++) {
        char c = *in++;
        g_check((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'), "hexadecimal digit");
        v = v * 16 + (u32)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    return v;
}

static void parse_string(value *v) {
    char *s = strings + strings_used;
    u32 n = 0;
    in++;
    while (*in != '"') {
        char c = *in++;
        g_check(c != 0, "end of a string");
        if (c == '\\') {
            switch (c = *in++) {
            case 'n': c = '\n'; break;
            case 't': c = '\t'; break;
            case 'u': c = (char)hex4(); break;
            default: break;
            }
        }
        s[n++] = c;
    }
    in++;
    strings_used += n;
    *v = (value){STRING, n, NULL, .text = s};
}

static value *parse(void) {
    g_check(values_used < VALUES, "room for values");
    value *v = &values[values_used++];
    spaces();
    switch (*in) {
    case 'n': expect("null"); v->kind = NIL; break;
    case 't': expect("true"); v->kind = TRUE; break;
    case 'f': expect("false"); v->kind = FALSE; break;
    case '"': parse_string(v); break;
    case '[':
    case '{': {
        bool object = *in == '{';
        char close = object ? '}' : ']';
        v->kind = object ? OBJECT : ARRAY;
        v->first = NULL;
        value **tail = &v->first;
        do {
            in++;
            if (object) {
                value *key = parse();
                g_check(key->kind == STRING, "key");
                *tail = key;
                tail = &key->next;
                spaces();
                expect(":");
            }
            value *e = parse();
            *tail = e;
            tail = &e->next;
            spaces();
        } while (*in == ',');
        g_check(*in++ == close, "bracket");
        break;
    }
    default: {
        bool negative = *in == '-';
        in += negative;
        u64 u = 0;
        g_check(*in >= '0' && *in <= '9', "number");
        while (*in >= '0' && *in <= '9')
            u = u * 10 + (u64)(*in++ - '0');
        v->kind = NUMBER;
        v->number = (i64)(negative ? 0 - u : u);
    }
    }
    v->next = NULL;
    return v;
}

static u64 walk(const value *v, u64 depth) {
    u64 sum = g_mix(depth, v->kind);
    if (v->kind == NUMBER)
        return g_mix(sum, (u64)v->number);
    if (v->kind == STRING)
        return g_mix(sum, v->length);
    if (v->kind >= ARRAY)
        for (const value *e = v->first; e; e = e->next)
            sum = g_mix(sum, walk(e, depth + 1));
    return sum;
}

int guest_main(int argc, char **argv) {
    u64 count = g_arg(argc, argv, 1, 3);
    u64 seed = 17, sum = 0;
    for (u64 round = 0; round < count; round++) {
        output o = {source, source + TEXT - 1};
        generate(&o, &seed, 6);
        g_check(o.at < o.end, "room for the text");
        *o.at = 0;
        size_t n = (size_t)(o.at - source);
        for (int k = 0; k < 3; k++) {
            values_used = strings_used = 0;
            in = source;
            value *root = parse();
            g_check(*in == 0, "end of the text");
            sum = g_mix(sum, walk(root, 0));
            o = (output){written, written + TEXT};
            print(&o, root);
            g_check((size_t)(o.at - written) == n && memcmp(source, written, n) == 0, "round trip");
        }
        sum = g_mix(sum, n);
    }
    g_line("json", sum);
    return 0;
}
