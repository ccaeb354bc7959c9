#include "CNVMeAtomic.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

const int nvmeatomic_O_DIRECT = O_DIRECT;
const int nvmeatomic_O_EXCL = O_EXCL;
const int nvmeatomic_O_RDONLY = O_RDONLY;
const int nvmeatomic_O_RDWR = O_RDWR;
const int nvmeatomic_O_NONBLOCK = O_NONBLOCK;
const int nvmeatomic_O_APPEND = O_APPEND;

#ifdef RWF_ATOMIC /* a newer system's header checks our number */
_Static_assert(NVMEATOMIC_RWF_ATOMIC == 0x40 && (int)RWF_ATOMIC == 0x40, "RWF_ATOMIC");
#endif
_Static_assert((int)RWF_DSYNC == NVMEATOMIC_RWF_DSYNC, "RWF_DSYNC");
_Static_assert((int)RWF_NOWAIT == NVMEATOMIC_RWF_NOWAIT, "RWF_NOWAIT");
_Static_assert(sizeof(off_t) == 8, "offsets have 64 bits");

static int result(int value) { return value < 0 ? -errno : value; }

int nvmeatomic_open(const char *path, int flags) { return result(open(path, flags | O_CLOEXEC)); }

int nvmeatomic_open_unnamed(const char *directory) {
  return result(open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
}

int nvmeatomic_open_unnamed_in(int directory) {
  const int descriptor = openat(directory, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (descriptor < 0) return -errno;
  /* It will be opened again, whatever the process masks. */
  if (fchmod(descriptor, 0600) == 0) return descriptor;
  const int status = -errno;
  close(descriptor);
  return status;
}

int nvmeatomic_give_name(int descriptor, int directory, const char *name) {
  char unnamed[32];
  const mode_t mask = umask(0);
  umask(mask);
  if (fchmod(descriptor, 0666 & ~mask) < 0) return -errno;
  snprintf(unnamed, sizeof unnamed, "/proc/self/fd/%d", descriptor);
  return result(linkat(AT_FDCWD, unnamed, directory, name, AT_SYMLINK_FOLLOW));
}

int nvmeatomic_allocate(int descriptor, int64_t size) {
  return -posix_fallocate(descriptor, 0, size);
}

int nvmeatomic_close(int descriptor) { return result(close(descriptor)); }

int64_t nvmeatomic_pwritev2(int descriptor, const void *bytes, size_t count, int64_t offset,
                            int flags) {
  const struct iovec segment = {.iov_base = (void *)bytes, .iov_len = count};
  /* Not by pwritev2(3), a cancellation point: that is 70 instructions, and nobody cancels threads.
   * Offsets come in two halves, of which a 64-bit kernel takes the first whole. */
  long written = syscall(SYS_pwritev2, descriptor, &segment, 1L, (long)offset, 0L, (long)flags);
  return written < 0 ? -errno : written;
}

int64_t nvmeatomic_read(int descriptor, void *bytes, size_t count) {
  ssize_t got = read(descriptor, bytes, count);
  return got < 0 ? -errno : got;
}

int64_t nvmeatomic_pread(int descriptor, void *bytes, size_t count, int64_t offset) {
  ssize_t got = pread(descriptor, bytes, count, offset);
  return got < 0 ? -errno : got;
}

int nvmeatomic_takes_nowait(int descriptor) {
  /* The largest logical block there is; a read of nothing is answered before the flag is seen. */
  const size_t size = 65536;
  void *bytes = NULL;
  if (posix_memalign(&bytes, size, size) != 0) return -ENOMEM;
  const struct iovec segment = {.iov_base = bytes, .iov_len = size};
  int status = preadv2(descriptor, &segment, 1, 0, RWF_NOWAIT) < 0 ? -errno : 1;
  free(bytes);
  if (status == -EOPNOTSUPP) return 0;
  return status == -EAGAIN ? 1 : status;
}

int nvmeatomic_fsync(int descriptor) { return result(fsync(descriptor)); }

int nvmeatomic_syncfs(int descriptor) { return result(syncfs(descriptor)); }

int nvmeatomic_fdatasync(int descriptor) { return result(fdatasync(descriptor)); }

int64_t nvmeatomic_readlink(const char *path, char *target, size_t capacity) {
  ssize_t length = readlink(path, target, capacity);
  return length < 0 ? -errno : length;
}

int64_t nvmeatomic_realpath(const char *path, char *resolved, size_t capacity) {
  char *canonical = realpath(path, NULL);
  if (canonical == NULL) return -errno;
  size_t length = strlen(canonical);
  int64_t status = length <= capacity ? (int64_t)length : -ENAMETOOLONG;
  if (status >= 0) memcpy(resolved, canonical, length);
  free(canonical);
  return status;
}

int64_t nvmeatomic_list_directory(const char *path, char *names, size_t capacity) {
  DIR *directory = opendir(path);
  if (directory == NULL) return -errno;
  size_t used = 0;
  int failure = 0;
  for (;;) {
    errno = 0;
    struct dirent *entry = readdir(directory);
    if (entry == NULL) {
      failure = errno;
      break;
    }
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    size_t length = strlen(entry->d_name) + 1;
    if (used + length > capacity) {
      failure = ERANGE;
      break;
    }
    memcpy(names + used, entry->d_name, length);
    used += length;
  }
  closedir(directory);
  return failure != 0 ? -failure : (int64_t)used;
}

int nvmeatomic_disk_sequence(int descriptor, uint64_t *sequence) {
  return result(ioctl(descriptor, BLKGETDISKSEQ, sequence));
}

int nvmeatomic_flush_buffers(int descriptor) { return result(ioctl(descriptor, BLKFLSBUF, 0)); }

int nvmeatomic_drop_pages(int descriptor, int64_t offset, int64_t count) {
  return -posix_fadvise(descriptor, offset, count, POSIX_FADV_DONTNEED);
}
