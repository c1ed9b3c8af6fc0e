/* Makes every fsync and fdatasync of a process take MS milliseconds longer, as on an SD card. Built and preloaded by
   card.py; the node and the libraries below it (LevelDB) are the same as always. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>

static void wait_as_a_card_does(void)
{
    struct timespec pause = {MS / 1000, (MS % 1000) * 1000000L};
    while (nanosleep(&pause, &pause) != 0)
        ;
}

int fsync(int descriptor)
{
    wait_as_a_card_does();
    return ((int (*)(int)) dlsym(RTLD_NEXT, "fsync"))(descriptor);
}

int fdatasync(int descriptor)
{
    wait_as_a_card_does();
    return ((int (*)(int)) dlsym(RTLD_NEXT, "fdatasync"))(descriptor);
}
