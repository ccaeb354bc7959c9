#include "CNVMeAtomic.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
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

uint32_t nvmeatomic_effective_uid(void) { return geteuid(); }

uint64_t nvmeatomic_file_size_limit(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_FSIZE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY) return UINT64_MAX;
  return limit.rlim_cur;
}
