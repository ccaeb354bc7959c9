/* A page double write as databases do it: a batch to the double-write area, a flush, the batch in
 * place, a flush. Prints pages a second.
 *
 *     doublewrite FILE AREA BATCH PAGE SECONDS
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <liburing.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static uint64_t state = 88172645463325252u;

static uint64_t next(void) {
  state ^= state << 13;
  state ^= state >> 7;
  return state ^= state << 17;
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void require(int holds, const char *what) {
  if (holds) return;
  perror(what);
  exit(1);
}

static void place(struct io_uring *ring, int file, char *pages, unsigned batch, unsigned page,
                  uint64_t count) {
  for (unsigned i = 0; i < batch; i++)
    io_uring_prep_write(io_uring_get_sqe(ring), file, pages + (size_t)i * page, page,
                        next() % count * page);
  require(io_uring_submit_and_wait(ring, batch) >= 0, "io_uring_submit_and_wait");
  for (unsigned i = 0; i < batch; i++) {
    struct io_uring_cqe *done;
    require(io_uring_wait_cqe(ring, &done) == 0 && done->res == (int)page, "write in place");
    io_uring_cqe_seen(ring, done);
  }
}

int main(int argc, char **argv) {
  require(argc == 6, "usage: doublewrite FILE AREA BATCH PAGE SECONDS");
  const int file = open(argv[1], O_RDWR | O_DIRECT), area = open(argv[2], O_RDWR | O_DIRECT);
  require(file >= 0 && area >= 0, "open");
  const unsigned batch = (unsigned)atoi(argv[3]), page = (unsigned)atoi(argv[4]);
  const double seconds = atof(argv[5]);
  const uint64_t count = (uint64_t)lseek(file, 0, SEEK_END) / page;
  char *pages;
  require(posix_memalign((void **)&pages, 4096, (size_t)batch * page) == 0, "posix_memalign");
  for (size_t i = 0; i < (size_t)batch * page; i += 8) *(uint64_t *)(pages + i) = next();
  struct io_uring ring;
  require(io_uring_queue_init(batch, &ring, 0) == 0, "io_uring_queue_init");
  const double begin = now();
  uint64_t done = 0;
  while (now() - begin < seconds) {
    require(pwrite(area, pages, (size_t)batch * page, 0) == (ssize_t)batch * page, "write");
    require(fdatasync(area) == 0, "flush of the area");
    place(&ring, file, pages, batch, page, count);
    require(fdatasync(file) == 0, "flush");
    done += batch;
  }
  printf("%.0f\n", (double)done / (now() - begin));
  return 0;
}
