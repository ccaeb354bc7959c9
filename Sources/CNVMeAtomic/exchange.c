#include "CNVMeAtomic.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

/* fs/xfs/libxfs/xfs_fs.h: struct xfs_exchange_range, 40 bytes, Linux 6.10. */
struct exchange_range {
  int32_t file1_fd;
  uint32_t pad;
  uint64_t file1_offset;
  uint64_t file2_offset;
  uint64_t length;
  uint64_t flags;
};
_Static_assert(sizeof(struct exchange_range) == 40, "struct xfs_exchange_range has 40 bytes");
_Static_assert(offsetof(struct exchange_range, file1_offset) == 8, "file1_offset");
_Static_assert(offsetof(struct exchange_range, file2_offset) == 16, "file2_offset");
_Static_assert(offsetof(struct exchange_range, length) == 24, "length");
_Static_assert(offsetof(struct exchange_range, flags) == 32, "flags");
#define XFS_IOC_EXCHANGE_RANGE _IOW('X', 129, struct exchange_range)
_Static_assert(XFS_IOC_EXCHANGE_RANGE == 0x40285881, "XFS_IOC_EXCHANGE_RANGE");

static int result(int value) { return value < 0 ? -errno : value; }

int nvmeatomic_exchange_range(int target, int staging, int64_t offset, int64_t length,
                              uint64_t flags) {
  struct exchange_range range = {
      .file1_fd = staging,
      .file1_offset = (uint64_t)offset,
      .file2_offset = (uint64_t)offset,
      .length = (uint64_t)length,
      .flags = flags,
  };
  return result(ioctl(target, XFS_IOC_EXCHANGE_RANGE, &range));
}

int nvmeatomic_lock(int descriptor, int kind, bool waits, int64_t offset, int64_t length) {
  static const short kinds[] = {F_UNLCK, F_RDLCK, F_WRLCK};
  if (kind < 0 || kind > 2) return -EINVAL;
  struct flock lock = {
      .l_type = kinds[kind],
      .l_whence = SEEK_SET,
      .l_start = offset,
      .l_len = length,
  };
  return result(fcntl(descriptor, waits ? F_OFD_SETLKW : F_OFD_SETLK, &lock));
}

int nvmeatomic_set_size(int descriptor, int64_t size) {
  return result(ftruncate(descriptor, size));
}

int nvmeatomic_start_writing_back(int descriptor, int64_t offset, int64_t count) {
  return result(sync_file_range(descriptor, offset, count, SYNC_FILE_RANGE_WRITE));
}

int nvmeatomic_write_back(int descriptor) {
  const unsigned all = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
                       SYNC_FILE_RANGE_WAIT_AFTER;
  return result(sync_file_range(descriptor, 0, 0, all));
}

int nvmeatomic_follow_realtime(int descriptor, int other) {
  struct fsxattr mine = {0}, theirs = {0};
  if (ioctl(other, FS_IOC_FSGETXATTR, &theirs) < 0) return -errno;
  if (ioctl(descriptor, FS_IOC_FSGETXATTR, &mine) < 0) return -errno;
  const uint32_t wanted = theirs.fsx_xflags & FS_XFLAG_REALTIME;
  if ((mine.fsx_xflags & FS_XFLAG_REALTIME) == wanted) return 0;
  mine.fsx_xflags = (mine.fsx_xflags & ~(uint32_t)FS_XFLAG_REALTIME) | wanted;
  return result(ioctl(descriptor, FS_IOC_FSSETXATTR, &mine));
}

int nvmeatomic_keep_blocks_behind_end(int descriptor, int64_t offset, int64_t length) {
  struct fsxattr attributes = {0};
  if (ioctl(descriptor, FS_IOC_FSGETXATTR, &attributes) < 0) return -errno;
  if ((attributes.fsx_xflags & FS_XFLAG_PREALLOC) != 0) return 0;
  return result(fallocate(descriptor, FALLOC_FL_KEEP_SIZE, offset, length));
}

int nvmeatomic_has_privileges(int descriptor) {
  struct stat status;
  if (fstat(descriptor, &status) < 0) return -errno;
  if ((status.st_mode & (S_ISUID | S_ISGID)) != 0) return 1;
  return fgetxattr(descriptor, "security.capability", NULL, 0) >= 0;
}
