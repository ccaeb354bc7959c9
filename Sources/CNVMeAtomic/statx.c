#include "CNVMeAtomic.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* include/uapi/linux/stat.h of Linux 6.16. */
#define PIN(field, offset) \
  _Static_assert(offsetof(struct nvmeatomic_statx, field) == offset, "statx " #field)
_Static_assert(sizeof(struct nvmeatomic_statx) == 256, "struct statx has 256 bytes");
PIN(attributes, 0x08);
PIN(mode, 0x1c);
PIN(ino, 0x20);
PIN(size, 0x28);
PIN(blocks, 0x30);
PIN(attributes_mask, 0x38);
PIN(btime_seconds, 0x50);
PIN(rdev_major, 0x80);
PIN(dev_major, 0x88);
PIN(mnt_id, 0x90);
PIN(dio_mem_align, 0x98);
PIN(dio_offset_align, 0x9c);
PIN(atomic_write_unit_min, 0xa8);
PIN(atomic_write_unit_max, 0xac);
PIN(atomic_write_segments_max, 0xb0);
PIN(dio_read_offset_align, 0xb4);
PIN(atomic_write_unit_max_opt, 0xb8);

static int statx_at(int directory, const char *path, int flags, struct nvmeatomic_statx *status) {
  const unsigned mask = NVMEATOMIC_STATX_BASIC_STATS | NVMEATOMIC_STATX_BTIME |
                        NVMEATOMIC_STATX_MNT_ID | NVMEATOMIC_STATX_DIOALIGN |
                        NVMEATOMIC_STATX_WRITE_ATOMIC | NVMEATOMIC_STATX_DIO_READ_ALIGN;
  memset(status, 0, sizeof *status);
  return syscall(SYS_statx, directory, path, flags, mask, status) < 0 ? -errno : 0;
}

int nvmeatomic_statx_path(const char *path, struct nvmeatomic_statx *status) {
  return statx_at(AT_FDCWD, path, 0, status);
}

int nvmeatomic_statx_descriptor(int descriptor, struct nvmeatomic_statx *status) {
  return statx_at(descriptor, "", AT_EMPTY_PATH, status);
}
