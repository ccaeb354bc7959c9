#include "CNVMeAtomic.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
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
  int descriptor;
  do {
    descriptor = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (descriptor < 0) return -errno;
  } while (descriptor <= STDERR_FILENO);
  close(descriptor);
  return 0;
}

void nvmeatomic_ignore_file_size_signal(void) { signal(SIGXFSZ, SIG_IGN); }

uint32_t nvmeatomic_effective_uid(void) { return geteuid(); }

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
