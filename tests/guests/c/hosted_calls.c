/* picolibc: what asks the system below it for something. Ends by a failed assertion. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

int getentropy(void *bytes, size_t count);

static void say(const char *what, int right) { printf("%s: %s\n", what, right ? "right" : "wrong"); }

int main(void) {
    struct timeval now;
    say("gettimeofday", gettimeofday(&now, NULL) == 0 && now.tv_sec > 0 && now.tv_usec < 1000000);
    time_t later = time(NULL);
    say("time", later >= now.tv_sec && later <= now.tv_sec + 10);
    clock_t start = clock();
    for (volatile int i = 0; i < 10000; i++)
        ;
    say("clock", start != (clock_t)-1 && clock() > start);

    FILE *file = fopen("a name", "r");
    say("fopen", file == NULL && errno == ENOENT);
    say("remove", remove("a name") == -1 && errno == ENOENT);

    char bytes[16] = {0};
    int different = 0;
    say("getentropy", getentropy(bytes, sizeof bytes) == 0);
    for (size_t i = 1; i < sizeof bytes; i++)
        different |= bytes[i] != bytes[0];
    say("its bytes", different);

    char first[6];
    say("read", read(0, first, sizeof first) == sizeof first && first[0] == 'F' && first[5] == 'b');
    int c = getchar();
    say("getchar", c == 'e');
    say("write", fflush(stdout) == 0 && write(1, "written\n", 8) == 8);
    say("a descriptor that is not there", write(77, "x", 1) == -1 && errno == EBADF);
    say("isatty", isatty(0) == 0);
    say("getpid", getpid() > 0);
    fflush(stdout);
    assert(c == EOF);
}
