#include "CNVMeAtomic.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <sys/utsname.h>
#include <unistd.h>

int nvmeatomic_kernel_release(char *release, size_t capacity) {
  struct utsname names;
  if (uname(&names) < 0) return -errno;
  size_t length = strlen(names.release);
  if (length >= capacity) return -ENAMETOOLONG;
  memcpy(release, names.release, length + 1);
  return 0;
}

int nvmeatomic_block_signals(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGHUP);
  sigaddset(&set, SIGXFSZ);
  sigaddset(&set, SIGPIPE);
  return -pthread_sigmask(SIG_BLOCK, &set, NULL);
}

int nvmeatomic_occupy_standard_descriptors(void) {
  for (int descriptor = STDIN_FILENO; descriptor <= STDERR_FILENO; descriptor++) {
    if (fcntl(descriptor, F_GETFD) >= 0 || errno != EBADF) continue;
    /* The lowest that is free, which is this one. */
    if (open("/dev/null", O_RDWR | O_CLOEXEC) < 0) return -errno;
  }
  return 0;
}

static int argument_count;
static char **arguments;

/* The C library hands them to each constructor. Swift looks for them in /proc, if that is there. */
__attribute__((constructor)) static void keep_arguments(int count, char **values) {
  argument_count = count;
  arguments = values;
}

int nvmeatomic_argument_count(void) { return argument_count; }

const char *nvmeatomic_argument(int place) { return arguments[place]; }

int nvmeatomic_pipe(int ends[2]) { return pipe2(ends, O_CLOEXEC) < 0 ? -errno : 0; }

int nvmeatomic_reserve_memory(uint64_t bytes) {
  struct sysinfo system;
  if (sysinfo(&system) == 0 && bytes / system.mem_unit > system.totalram) return -ENOMEM;
  void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return -errno;
  munmap(memory, bytes);
  return 0;
}

int nvmeatomic_map_memory(uint64_t bytes, uint64_t alignment, void **memory) {
  if (bytes > UINT64_MAX - alignment) return -ENOMEM;
  char *all = mmap(NULL, bytes + alignment, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                   -1, 0);
  if (all == MAP_FAILED) return -errno;
  uint64_t before = -(uintptr_t)all & (alignment - 1);
  if (before > 0) munmap(all, before);
  munmap(all + before + bytes, alignment - before);
  *memory = all + before;
  return 0;
}

void nvmeatomic_unmap_memory(void *memory, uint64_t bytes) { munmap(memory, bytes); }

int nvmeatomic_has_descriptors(int count) {
  int opened[32], number = 0, status = 0;
  while (number < count && number < 32) {
    opened[number] = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0);
    if (opened[number] < 0) {
      status = -errno;
      break;
    }
    number++;
  }
  while (number > 0) close(opened[--number]);
  return status;
}

void nvmeatomic_ignore_file_size_signal(void) { signal(SIGXFSZ, SIG_IGN); }

uint64_t nvmeatomic_file_size_limit(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_FSIZE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY) return UINT64_MAX;
  return limit.rlim_cur;
}

static volatile sig_atomic_t stop_signal;

static void note_stop(int number) { stop_signal = number; }

int nvmeatomic_catch_stop_signals(void) {
  static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
  struct sigaction action = {.sa_handler = note_stop, .sa_flags = SA_RESTART}, before;
  sigset_t set;
  sigemptyset(&action.sa_mask);
  sigemptyset(&set);
  for (size_t index = 0; index < sizeof numbers / sizeof *numbers; index++) {
    if (sigaction(numbers[index], NULL, &before) < 0) return -errno;
    /* nohup, or a shell that put the program into the background. */
    if (before.sa_handler == SIG_IGN) continue;
    if (sigaction(numbers[index], &action, NULL) < 0) return -errno;
    sigaddset(&set, numbers[index]);
  }
  /* Whoever started the program may have held them back. */
  int status = pthread_sigmask(SIG_UNBLOCK, &set, NULL);
  sigemptyset(&set);
  sigaddset(&set, SIGXFSZ);
  sigaddset(&set, SIGPIPE);
  return -(status != 0 ? status : pthread_sigmask(SIG_BLOCK, &set, NULL));
}

int nvmeatomic_stop_signal(void) { return stop_signal; }

uint64_t nvmeatomic_monotonic_nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

uint64_t nvmeatomic_wall_clock_milliseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint64_t nvmeatomic_coarse_nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static uint64_t nanoseconds(struct timeval time) {
  return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_usec * 1000;
}

void nvmeatomic_processor_time(uint64_t *user_nanoseconds, uint64_t *system_nanoseconds) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  *user_nanoseconds = nanoseconds(usage.ru_utime);
  *system_nanoseconds = nanoseconds(usage.ru_stime);
}
