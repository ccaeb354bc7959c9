#include "CNVMeAtomic.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

static const char mark[] = "user.nvme-atomic";

int64_t nvmeatomic_mark(int descriptor, void *value, size_t capacity) {
  ssize_t count = fgetxattr(descriptor, mark, value, capacity);
  return count < 0 ? -errno : count;
}

int nvmeatomic_set_mark(int descriptor, const void *value, size_t count) {
  return fsetxattr(descriptor, mark, value, count, 0) < 0 ? -errno : 0;
}

int nvmeatomic_remove_mark(int descriptor) {
  return fremovexattr(descriptor, mark) < 0 ? -errno : 0;
}

int nvmeatomic_filesystem_id(int descriptor, uint64_t *id) {
  struct statfs status;
  if (fstatfs(descriptor, &status) < 0) return -errno;
  _Static_assert(sizeof status.f_fsid == sizeof *id, "f_fsid has 64 bits");
  __builtin_memcpy(id, &status.f_fsid, sizeof *id);
  return 0;
}

int nvmeatomic_inode_generation(int descriptor, uint32_t *generation) {
  long answer = 0; /* the request says long, and filesystems store an int */
  if (ioctl(descriptor, FS_IOC_GETVERSION, &answer) < 0) return -errno;
  __builtin_memcpy(generation, &answer, sizeof *generation);
  return 0;
}

int nvmeatomic_copy_owner(int descriptor, int other) {
  struct stat status;
  if (fstat(other, &status) < 0) return -errno;
  mode_t mode = status.st_mode & 0666;
  /* With an access control list the group's bits are a mask, and say nothing of the group. */
  if (fgetxattr(other, "system.posix_acl_access", NULL, 0) > 0) mode &= 0600;
  if (fchown(descriptor, status.st_uid, status.st_gid) < 0) {
    /* Who may not give files away keeps this one, and to himself: its group is another one. But
     * the owner must be able to open it. */
    if (errno != EPERM || status.st_uid != geteuid()) return -errno;
    mode &= 0600;
  }
  return fchmod(descriptor, mode) < 0 ? -errno : 0;
}

int nvmeatomic_write_in_place(int descriptor) {
  int flags = 0;
  if (ioctl(descriptor, FS_IOC_GETFLAGS, &flags) < 0) return -errno;
  flags |= FS_NOCOW_FL;
  return ioctl(descriptor, FS_IOC_SETFLAGS, &flags) < 0 ? -errno : 0;
}

int nvmeatomic_is_allocated(int descriptor, uint64_t size) {
  enum { count = 128 };
  static const uint32_t others =
      FIEMAP_EXTENT_SHARED | FIEMAP_EXTENT_DELALLOC | FIEMAP_EXTENT_UNKNOWN;
  union {
    struct fiemap map;
    unsigned char bytes[sizeof(struct fiemap) + count * sizeof(struct fiemap_extent)];
  } answer;
  uint64_t place = 0;
  while (place < size) {
    __builtin_memset(&answer, 0, sizeof answer);
    answer.map.fm_start = place;
    answer.map.fm_length = size - place;
    answer.map.fm_flags = FIEMAP_FLAG_SYNC;
    answer.map.fm_extent_count = count;
    if (ioctl(descriptor, FS_IOC_FIEMAP, &answer) < 0) return -errno;
    if (answer.map.fm_mapped_extents == 0) return 0;
    for (uint32_t i = 0; i < answer.map.fm_mapped_extents; i++) {
      const struct fiemap_extent *extent = &answer.map.fm_extents[i];
      if (extent->fe_logical > place || (extent->fe_flags & others) != 0) return 0;
      place = extent->fe_logical + extent->fe_length;
    }
  }
  return 1;
}

int nvmeatomic_unlink_same(int directory, const char *name, int descriptor) {
  struct stat there, open;
  if (fstatat(directory, name, &there, AT_SYMLINK_NOFOLLOW) < 0 || fstat(descriptor, &open) < 0)
    return -errno;
  if (there.st_dev != open.st_dev || there.st_ino != open.st_ino) return -ESTALE;
  return unlinkat(directory, name, 0) < 0 ? -errno : 0;
}

int nvmeatomic_is_as_private(int descriptor, int other) {
  struct stat mine, theirs;
  if (fstat(descriptor, &mine) < 0 || fstat(other, &theirs) < 0) return -errno;
  if (mine.st_uid != theirs.st_uid && mine.st_uid != 0 && mine.st_uid != geteuid()) return 0;
  /* A device's node has permissions of its own; what others may write is never a journal. */
  mode_t allowed = S_ISREG(theirs.st_mode) ? theirs.st_mode : 0644;
  return (mine.st_mode & 0666 & ~allowed) == 0;
}

int nvmeatomic_open_journal(const char *path, bool only_reads) {
  int access = only_reads ? O_RDONLY : O_RDWR;
  int descriptor = open(path, access | O_DIRECT | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
  return descriptor < 0 ? -errno : descriptor;
}

int nvmeatomic_claim_name(const char *name, size_t count) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (count > sizeof address.sun_path - 1) return -ENAMETOOLONG;
  __builtin_memcpy(address.sun_path + 1, name, count);
  int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return -errno;
  socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + count);
  if (bind(descriptor, (struct sockaddr *)&address, length) < 0) {
    int error = errno;
    close(descriptor);
    return -error;
  }
  return descriptor;
}

int nvmeatomic_reserve(int descriptor, int64_t offset, int64_t count) {
#ifdef FALLOC_FL_UNSHARE_RANGE
  if (fallocate(descriptor, FALLOC_FL_KEEP_SIZE | FALLOC_FL_UNSHARE_RANGE, offset, count) == 0)
    return 0;
  if (errno != EOPNOTSUPP) return -errno;
#endif
  return fallocate(descriptor, FALLOC_FL_KEEP_SIZE, offset, count) < 0 ? -errno : 0;
}

int nvmeatomic_link(int descriptor, int directory, const char *name) {
  char unnamed[32];
  snprintf(unnamed, sizeof unnamed, "/proc/self/fd/%d", descriptor);
  return linkat(AT_FDCWD, unnamed, directory, name, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}
