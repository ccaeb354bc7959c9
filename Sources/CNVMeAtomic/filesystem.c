#include "CNVMeAtomic.h"

#include <blkid/blkid.h>
#include <errno.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>

/* fs/xfs/libxfs/xfs_fs.h: struct xfs_fsop_geom, 256 bytes, XFS_IOC_FSGEOMETRY. */
struct xfs_geometry {
  uint32_t block_size;
  uint32_t realtime_extent;
  uint32_t words[12];
  uint64_t log_start;
  uint64_t uuid[2];
  uint32_t units[2];
  uint32_t version;
  uint32_t flags;
  uint8_t rest[160];
};
_Static_assert(sizeof(struct xfs_geometry) == 256, "struct xfs_fsop_geom has 256 bytes");
_Static_assert(offsetof(struct xfs_geometry, flags) == 92, "flags of struct xfs_fsop_geom");
_Static_assert(offsetof(struct xfs_geometry, log_start) == 56, "logstart of struct xfs_fsop_geom");
_Static_assert(offsetof(struct xfs_geometry, uuid) == 64, "uuid of struct xfs_fsop_geom");
#define XFS_IOC_FSGEOMETRY _IOR('X', 126, struct xfs_geometry)
_Static_assert(XFS_IOC_FSGEOMETRY == 0x8100587e, "XFS_IOC_FSGEOMETRY");

int nvmeatomic_statfs(int descriptor, struct nvmeatomic_filesystem *filesystem) {
  struct statfs status;
  if (fstatfs(descriptor, &status) < 0) return -errno;
  filesystem->magic = status.f_type;
  filesystem->block_size = (uint32_t)status.f_bsize;
  return 0;
}

int nvmeatomic_xfs_geometry(int descriptor, struct nvmeatomic_xfs_geometry *geometry) {
  struct xfs_geometry answer = {0};
  if (ioctl(descriptor, XFS_IOC_FSGEOMETRY, &answer) < 0) return -errno;
  geometry->block_size = answer.block_size;
  geometry->realtime_extent = answer.realtime_extent;
  geometry->flags = answer.flags;
  geometry->log_start = answer.log_start;
  geometry->uuid[0] = answer.uuid[0];
  geometry->uuid[1] = answer.uuid[1];
  return 0;
}

int nvmeatomic_extended_flags(int descriptor, uint32_t *flags) {
  struct fsxattr attributes = {0};
  if (ioctl(descriptor, FS_IOC_FSGETXATTR, &attributes) < 0) return -errno;
  *flags = attributes.fsx_xflags;
  return 0;
}

int nvmeatomic_inode_flags(int descriptor, uint32_t *flags) {
  int answer = 0;
  if (ioctl(descriptor, FS_IOC_GETFLAGS, &answer) < 0) return -errno;
  *flags = (uint32_t)answer;
  return 0;
}

/* libblkid sets errno only sometimes; a failure without one is reported as EIO. */
static int failure(void) { return errno != 0 ? -errno : -EIO; }

static int look_up(blkid_probe probe, char *name, size_t capacity) {
  static const char *const keys[] = {"TYPE", "PTTYPE"};
  errno = 0;
  int found = blkid_do_safeprobe(probe); /* 0 found, 1 nothing, -2 ambivalent, -1 error */
  if (found == -1) return failure();
  if (found == 1) return 0;
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
    const char *value = NULL;
    if (blkid_probe_lookup_value(probe, keys[i], &value, NULL) == 0) {
      snprintf(name, capacity, "%s", value);
      return 0;
    }
  }
  /* Several signatures at once, or one that has no name: there is something. */
  snprintf(name, capacity, "%s", "unknown");
  return 0;
}

int nvmeatomic_signature(int descriptor, char *name, size_t capacity) {
  if (capacity == 0) return -EINVAL;
  name[0] = '\0';
  errno = 0;
  blkid_probe probe = blkid_new_probe();
  if (probe == NULL) return -ENOMEM;
  int status = 0;
  if (blkid_probe_set_device(probe, descriptor, 0, 0) != 0 ||
      blkid_probe_enable_superblocks(probe, 1) != 0 ||
      blkid_probe_set_superblocks_flags(probe, BLKID_SUBLKS_TYPE) != 0 ||
      blkid_probe_enable_partitions(probe, 1) != 0 ||
      blkid_probe_set_partitions_flags(probe, BLKID_PARTS_FORCE_GPT) != 0)
    status = failure();
  else
    status = look_up(probe, name, capacity);
  blkid_free_probe(probe);
  return status;
}
