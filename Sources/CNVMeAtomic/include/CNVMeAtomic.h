/*
 * The only C that Swift sees. No kernel or library header is included here, so nothing of theirs
 * can collide with what Glibc or swift-system import (they declare the same structures with
 * other contents). Every function returns what the kernel returns: a value >= 0, or -errno.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- Files (files.c) ------------------------------------------------------------------- */

enum : int {
  NVMEATOMIC_RWF_NOWAIT = 0x08, /* fail instead of waiting, Linux 4.13 */
  NVMEATOMIC_RWF_DSYNC = 0x02,  /* per-write O_DSYNC, Linux 4.7 */
  NVMEATOMIC_RWF_ATOMIC = 0x40, /* Linux 6.11 */
};

/* Open flags that Glibc hides from Swift or that differ between architectures. */
extern const int nvmeatomic_O_DIRECT;
extern const int nvmeatomic_O_EXCL;
extern const int nvmeatomic_O_RDONLY;
extern const int nvmeatomic_O_RDWR;
extern const int nvmeatomic_O_NONBLOCK;
extern const int nvmeatomic_O_APPEND;

/* O_CLOEXEC is always added. In C because open(2) is variadic. */
int nvmeatomic_open(const char *path, int flags);
/* An unnamed regular file in a directory. In C because Glibc hides O_TMPFILE. */
int nvmeatomic_open_unnamed(const char *directory);
int nvmeatomic_open_unnamed_in(int directory);
/* Gives it a name in that directory that nothing has, by way of /proc, and the permissions that
 * any new file gets. */
int nvmeatomic_give_name(int descriptor, int directory, const char *name);
/* Has all blocks of a file set aside. */
int nvmeatomic_allocate(int descriptor, int64_t size);
int nvmeatomic_close(int descriptor);
/* In C because pwritev2(2) is invisible without _GNU_SOURCE. One segment. */
int64_t nvmeatomic_pwritev2(int descriptor, const void *bytes, size_t count, int64_t offset,
                            int flags);
/* These six are in C so that errno cannot be overwritten before it is read. */
int64_t nvmeatomic_read(int descriptor, void *bytes, size_t count);
int64_t nvmeatomic_pread(int descriptor, void *bytes, size_t count, int64_t offset);
int nvmeatomic_fsync(int descriptor);
int nvmeatomic_fdatasync(int descriptor);
/* In C because syncfs(2) is invisible without _GNU_SOURCE. */
int nvmeatomic_syncfs(int descriptor);
/* Whether the file takes RWF_NOWAIT: 1 or 0, by a preadv2(2) of the first 64 KiB. In C
 * because preadv2(2) is invisible without _GNU_SOURCE. */
int nvmeatomic_takes_nowait(int descriptor);
int64_t nvmeatomic_readlink(const char *path, char *target, size_t capacity);
/* The canonical path without a NUL; its length, or -errno when it does not exist or fit. */
int64_t nvmeatomic_realpath(const char *path, char *resolved, size_t capacity);
/* Names in a directory, each ended by NUL, "." and ".." left out; the bytes used, or -errno
 * (-ERANGE when they do not fit). In C because DIR and dirent differ between Glibc overlays. */
int64_t nvmeatomic_list_directory(const char *path, char *names, size_t capacity);
/* BLKGETDISKSEQ (Linux 5.15), a macro with a cast, which bookworm's headers have. */
int nvmeatomic_disk_sequence(int descriptor, uint64_t *sequence);
/* Writes dirty pages back and drops all of a block device's pages: BLKFLSBUF, a macro. */
int nvmeatomic_flush_buffers(int descriptor);
/* Drops clean pages of a range from the page cache. posix_fadvise(3), POSIX_FADV_DONTNEED. */
int nvmeatomic_drop_pages(int descriptor, int64_t offset, int64_t count);

/* ---- Journals of files (journal.c) ------------------------------------------------------ */

/* The extended attribute user.nvme-atomic of a file: its bytes used, or -ENODATA without one. */
int64_t nvmeatomic_mark(int descriptor, void *value, size_t capacity);
int nvmeatomic_set_mark(int descriptor, const void *value, size_t count);
int nvmeatomic_remove_mark(int descriptor);
/* f_fsid of statfs(2): on ext4 and btrfs of its UUID, on btrfs of the subvolume too. */
int nvmeatomic_filesystem_id(int descriptor, uint64_t *id);
/* FS_IOC_GETVERSION, a macro: another number each time an inode number is given again. */
int nvmeatomic_inode_generation(int descriptor, uint32_t *generation);
/* Gives a file the owner of another, where the process may, and its read and write permissions. */
int nvmeatomic_copy_owner(int descriptor, int other);
/* Gives an unnamed file a name in that directory that nothing has, by way of /proc. */
/* Sets blocks of a range aside, shared with no other file where the filesystem can have that,
 * whatever the file's size: fallocate(2), FALLOC_FL_KEEP_SIZE, FALLOC_FL_UNSHARE_RANGE. */
int nvmeatomic_reserve(int descriptor, int64_t offset, int64_t count);
/* Whether all blocks up to a size are the file's and no other's: 1 or 0. FS_IOC_FIEMAP, after
 * what is dirty was written. */
int nvmeatomic_is_allocated(int descriptor, uint64_t size);
/* Has an empty file of btrfs overwrite its blocks: FS_NOCOW_FL. */
int nvmeatomic_write_in_place(int descriptor);
/* Takes a name away if it is that of an open file, -ESTALE if it is another's. */
int nvmeatomic_unlink_same(int directory, const char *name, int descriptor);
/* Whether a file belongs to the owner of another, to root or to this process, and gives nobody more
 * than that does; 1 or 0. */
int nvmeatomic_is_as_private(int descriptor, int other);
/* For direct reads and writes; a symbolic link is none. */
int nvmeatomic_open_journal(const char *path, bool only_reads);
/* Holds a name that one process of this network namespace can hold, as long as the descriptor is
 * open: a socket's, in the abstract namespace. -EADDRINUSE where another holds it. */
int nvmeatomic_claim_name(const char *name, size_t count);
int nvmeatomic_link(int descriptor, int directory, const char *name);

/* ---- Logs that are kept elsewhere (log.c) ------------------------------------------------ */

/* A new file that each write(2) to has on stable storage when it returns. */
int nvmeatomic_create_log(const char *path);
/* A TCP connection without delay, whose writes end after ten seconds at the latest. -ENOENT where
 * the host has no address. In C because getaddrinfo(3) has errors of its own. */
int nvmeatomic_connect(const char *host, uint16_t port);
/* Listens on all addresses, and takes the connection of whoever comes. */
int nvmeatomic_listen(uint16_t port);
int nvmeatomic_accept(int descriptor);
/* 1 where the other end of a connection has an address of this machine. */
int nvmeatomic_is_own_peer(int descriptor);
/* 1 where something can be read, or accepted; 0 after the time, or a signal. */
int nvmeatomic_wait_readable(int descriptor, int milliseconds);
/* All bytes, by write(2) or send(2); what was written of them before an error stays. */
int nvmeatomic_append(int descriptor, const void *bytes, size_t count, int is_socket);

/* ---- Checksums (checksum.c) ------------------------------------------------------------- */

/* XXH3, 128 bits, of libxxhash 0.8: the lower half first. In C because xxhash.h is mostly
 * inlined functions that Swift cannot import. */
void nvmeatomic_checksum(const void *bytes, size_t count, uint64_t checksum[2]);

/* statx(2) as of Linux 6.16. Declared here because bookworm's headers lack the last fields; its
 * layout is pinned by _Static_assert in statx.c. */
struct nvmeatomic_statx {
  uint32_t mask, blksize;
  uint64_t attributes;
  uint32_t nlink, uid, gid;
  uint16_t mode, spare0;
  uint64_t ino, size, blocks, attributes_mask;
  uint64_t atime[2];
  uint64_t btime_seconds, btime_nanoseconds; /* the upper half of the second one is padding */
  uint64_t other_times[4];
  uint32_t rdev_major, rdev_minor, dev_major, dev_minor;
  uint64_t mnt_id;
  uint32_t dio_mem_align, dio_offset_align;
  uint64_t subvol;
  uint32_t atomic_write_unit_min, atomic_write_unit_max, atomic_write_segments_max;
  uint32_t dio_read_offset_align;
  uint32_t atomic_write_unit_max_opt, spare1;
  uint64_t spare2[8];
};

enum : uint32_t {
  NVMEATOMIC_STATX_BASIC_STATS = 0x7ff,
  NVMEATOMIC_STATX_BLOCKS = 0x400, /* part of the basic ones */
  NVMEATOMIC_STATX_BTIME = 0x800,
  NVMEATOMIC_STATX_MNT_ID = 0x1000,
  NVMEATOMIC_STATX_DIOALIGN = 0x2000,
  NVMEATOMIC_STATX_WRITE_ATOMIC = 0x10000,
  NVMEATOMIC_STATX_DIO_READ_ALIGN = 0x20000,
};
enum : uint64_t { NVMEATOMIC_STATX_ATTR_WRITE_ATOMIC = 0x400000 };

/* Follows symbolic links. In C because statx(2) is invisible without _GNU_SOURCE. */
int nvmeatomic_statx_path(const char *path, struct nvmeatomic_statx *status);
int nvmeatomic_statx_descriptor(int descriptor, struct nvmeatomic_statx *status);

/* ---- Filesystems (filesystem.c) ---------------------------------------------------------- */

struct nvmeatomic_filesystem {
  int64_t magic;       /* statfs(2) f_type */
  uint32_t block_size; /* statfs(2) f_bsize, bytes */
};
int nvmeatomic_statfs(int descriptor, struct nvmeatomic_filesystem *filesystem);

struct nvmeatomic_xfs_geometry {
  uint32_t block_size;      /* bytes */
  uint32_t realtime_extent; /* blocks that a real-time extent has */
  uint32_t flags;           /* XFS_FSOP_GEOM_FLAGS_* */
  uint64_t log_start;       /* 0: the log is on another device */
  uint64_t uuid[2];         /* of the filesystem, as its bytes lie */
};
enum : uint32_t {
  NVMEATOMIC_XFS_GEOM_REFLINK = 1u << 20,
  NVMEATOMIC_XFS_GEOM_EXCHANGE_RANGE = 1u << 24,
};
/* In C because the request number is a macro with a cast. */
int nvmeatomic_xfs_geometry(int descriptor, struct nvmeatomic_xfs_geometry *geometry);
/* FS_IOC_FSGETXATTR's fsx_xflags; bit 0 is FS_XFLAG_REALTIME. */
int nvmeatomic_extended_flags(int descriptor, uint32_t *flags);
/* FS_IOC_GETFLAGS; ext4 sets 0x80000 (FS_EXTENT_FL) on files that map by extents. */
int nvmeatomic_inode_flags(int descriptor, uint32_t *flags);

/* ---- Exchanging ranges (exchange.c) ------------------------------------------------------- */

enum : uint64_t {
  NVMEATOMIC_EXCHANGE_TO_EOF = 1u << 0,        /* the length does not count; sizes are exchanged */
  NVMEATOMIC_EXCHANGE_DSYNC = 1u << 1,         /* durable when the call returns */
  NVMEATOMIC_EXCHANGE_FILE1_WRITTEN = 1u << 3, /* what the staging file has not written stays */
};
/* Exchanges the blocks of one range of two files, all or none: XFS_IOC_EXCHANGE_RANGE, Linux 6.10.
 * In C because no header of bookworm's has the structure. */
int nvmeatomic_exchange_range(int target, int staging, int64_t offset, int64_t length,
                              uint64_t flags);
/* F_OFD_SETLK or F_OFD_SETLKW, invisible without _GNU_SOURCE. Kinds: 0 none, 1 shared, 2
 * exclusive. Another's lock is -EAGAIN. */
int nvmeatomic_lock(int descriptor, int kind, bool waits, int64_t offset, int64_t length);
/* In C so that errno cannot be overwritten before it is read, as are all below. */
int nvmeatomic_set_size(int descriptor, int64_t size);
/* sync_file_range(2), invisible without _GNU_SOURCE: begins to write a range's dirty pages. */
int nvmeatomic_start_writing_back(int descriptor, int64_t offset, int64_t count);
/* The same for the whole file, and waits for the end. No cache of a device is flushed. */
int nvmeatomic_write_back(int descriptor);
/* Has an empty XFS file keep its data where another one does: FS_XFLAG_REALTIME. */
int nvmeatomic_follow_realtime(int descriptor, int other);
/* Has XFS leave blocks that a file has behind its end, by allocating some of it: FS_XFLAG_PREALLOC,
 * which cannot be set otherwise. */
int nvmeatomic_keep_blocks_behind_end(int descriptor, int64_t offset, int64_t length);
/* Whether writing takes something from the file, set-user-id, set-group-id or capabilities: 1 or
 * 0. */
int nvmeatomic_has_privileges(int descriptor);

/* ---- Extents (extents.c) ----------------------------------------------------------------- */

/* One piece of a file, bytes; struct fiemap_extent without its spare fields. */
struct nvmeatomic_extent {
  uint64_t logical, physical, length;
  uint32_t flags;
};
enum : int {
  NVMEATOMIC_EXTENT_LAST = 0x1,
  NVMEATOMIC_EXTENT_UNKNOWN = 0x2,
  NVMEATOMIC_EXTENT_DELALLOC = 0x4,
  NVMEATOMIC_EXTENT_ENCODED = 0x8,
  NVMEATOMIC_EXTENT_DATA_ENCRYPTED = 0x80,
  NVMEATOMIC_EXTENT_NOT_ALIGNED = 0x100,
  NVMEATOMIC_EXTENT_DATA_INLINE = 0x200,
  NVMEATOMIC_EXTENT_DATA_TAIL = 0x400,
  NVMEATOMIC_EXTENT_UNWRITTEN = 0x800,
  NVMEATOMIC_EXTENT_MERGED = 0x1000,
  NVMEATOMIC_EXTENT_SHARED = 0x2000,
  NVMEATOMIC_EXTENTS_MAX = 256,
};
/* FS_IOC_FIEMAP, the first extents of a range; how many. Without FIEMAP_FLAG_SYNC: nothing is
 * written back for it. In C because the request ends in an array of any length. */
int nvmeatomic_extents(int descriptor, uint64_t offset, uint64_t length,
                       struct nvmeatomic_extent *extents, uint32_t capacity);
/* Pages of a range that are dirty or being written back, by cachestat(2), Linux 6.5. In C because
 * it has no wrapper and syscall(2) is variadic. A length of 0 means up to the end. */
int nvmeatomic_unwritten_pages(int descriptor, uint64_t offset, uint64_t length, uint64_t *pages);

/* The name of the filesystem, RAID or partition-table signature on a block device ("" when there
 * is none), by libblkid. In C because its probe is an opaque handle to be freed on every path. */
int nvmeatomic_signature(int descriptor, char *name, size_t capacity);

/* ---- Device-mapper (devicemapper.c) -------------------------------------------------------- */

/* The live table of a device, by libdevmapper: a line "start length type parameters" per target,
 * in 512-byte sectors; the bytes used, or -errno (-ERANGE when they do not fit). Keys are left
 * out. In C because libdevmapper logs through a variadic function. */
int64_t nvmeatomic_device_mapper_table(uint32_t major, uint32_t minor, char *table,
                                       size_t capacity);

/* ---- NVMe (nvme.c) ------------------------------------------------------------------------- */

/* libnvme's calls return 0, a positive NVMe status, or -errno. In C because libnvme's headers
 * redeclare kernel structures that other modules of the graph declare too. */
int nvmeatomic_identify_controller(int descriptor, uint8_t page[4096]);
int nvmeatomic_identify_namespace(int descriptor, uint32_t nsid, uint8_t page[4096]);
int nvmeatomic_get_feature(int descriptor, uint8_t feature, uint32_t nsid, uint32_t *value);
/* Data Units Written of the SMART log, for the controller as a whole: thousands of 512 bytes,
 * rounded up. NVM Express Base Specification 2.1, figure 207. */
int nvmeatomic_data_units_written(int descriptor, uint64_t *units);
/* libnvme's words for an NVMe status: a constant, "NAME: explanation" or "NAME". */
const char *nvmeatomic_status_words(uint16_t status);
/* The namespace id the driver uses for this node. NVME_IOCTL_ID: no command reaches the device. */
int nvmeatomic_nsid(int descriptor);

/* One read, write or flush of a namespace, by NVMe's own words. */
struct nvmeatomic_command {
  uint8_t opcode; /* NVMEATOMIC_FLUSH, NVMEATOMIC_WRITE or NVMEATOMIC_READ */
  uint32_t nsid;
  void *bytes;
  uint32_t count;       /* bytes */
  uint64_t first_block; /* absolute in the namespace, also on a partition */
  uint32_t dword12;     /* blocks minus one, NVMEATOMIC_FUA */
};
enum : uint8_t { NVMEATOMIC_FLUSH = 0x00, NVMEATOMIC_WRITE = 0x01, NVMEATOMIC_READ = 0x02 };
enum : uint32_t { NVMEATOMIC_FUA = 1u << 30 };
/* NVME_IOCTL_IO64_CMD by libnvme: 0, a positive NVMe status, or -errno. */
int nvmeatomic_io_command(int descriptor, const struct nvmeatomic_command *command);

/* ---- io_uring (ring.c) ------------------------------------------------------------------- */

/* liburing's headers redeclare kernel structures that other modules of the graph declare too, and
 * its fast paths are inline functions and macros. Entries name registered file 0. */
struct nvmeatomic_ring;
/* A completion entry, where the kernel puts it (struct io_uring_cqe). */
struct nvmeatomic_ring_completion {
  uint64_t token;
  int32_t result; /* bytes, -errno, or for a command 0 or a positive NVMe status */
  uint32_t flags;
};
/* Where completions are: number n at entries[(n & mask) << shift]. */
struct nvmeatomic_ring_completions {
  const struct nvmeatomic_ring_completion *entries;
  uint32_t mask;
  uint32_t shift;
};

/* With `takes_commands` entries are twice as large (IORING_SETUP_SQE128, IORING_SETUP_CQE32); with
 * `stays_on_thread` only the thread that makes the ring may use it (IORING_SETUP_SINGLE_ISSUER,
 * IORING_SETUP_DEFER_TASKRUN), for which it works less. */
int nvmeatomic_ring_create(uint32_t entries, bool takes_commands, bool stays_on_thread,
                           struct nvmeatomic_ring **created);
void nvmeatomic_ring_destroy(struct nvmeatomic_ring *ring);
int nvmeatomic_ring_register_file(struct nvmeatomic_ring *ring, int descriptor);
int nvmeatomic_ring_register_buffer(struct nvmeatomic_ring *ring, void *memory, size_t count);
/* These queue one entry; false where there is no room. The memory is the caller's until the entry
 * has completed. */
bool nvmeatomic_ring_write(struct nvmeatomic_ring *ring, const void *bytes, uint32_t count,
                           uint64_t offset, int flags, uint64_t token);
bool nvmeatomic_ring_read(struct nvmeatomic_ring *ring, void *bytes, uint32_t count,
                          uint64_t offset, uint64_t token);
/* fdatasync(2). */
bool nvmeatomic_ring_synchronize(struct nvmeatomic_ring *ring, uint64_t token);
bool nvmeatomic_ring_command(struct nvmeatomic_ring *ring,
                             const struct nvmeatomic_command *command, bool in_registered_buffer,
                             uint64_t token);
struct nvmeatomic_ring_completions
nvmeatomic_ring_completions(const struct nvmeatomic_ring *ring);
/* Gives back so many completions that were read, hands over what is queued, and waits until that
 * many others are there; how many are, or -errno: what was queued is still queued then. Signals do
 * not end it. */
int nvmeatomic_ring_turn(struct nvmeatomic_ring *ring, uint32_t consumed, uint32_t wait_for);
/* Gives back so many completions, and waits for what is still on its way: 0, or -errno while memory
 * may still be read. -EEXIST: the ring was made on another thread. */
int nvmeatomic_ring_drain(struct nvmeatomic_ring *ring, uint32_t consumed, uint32_t in_flight);

/* ---- Process (process.c) --------------------------------------------------------------------- */

int nvmeatomic_kernel_release(char *release, size_t capacity);
/* Holds back SIGINT, SIGTERM and SIGHUP, so that a write and its report are not parted, and
 * SIGXFSZ and SIGPIPE, so that a file size limit and a closed pipe are errors. */
int nvmeatomic_block_signals(void);
/* SIGXFSZ ends nothing from now on. */
void nvmeatomic_ignore_file_size_signal(void);
/* Opens /dev/null in the place of each of descriptors 0 to 2 that is closed: 0 or -errno. */
int nvmeatomic_occupy_standard_descriptors(void);
/* What the program was called with. */
int nvmeatomic_argument_count(void);
const char *nvmeatomic_argument(int place);
/* pipe2(2) with O_CLOEXEC: 0 or -errno. */
int nvmeatomic_pipe(int ends[2]);
/* Whether so much memory could be had, by address space and what the machine has: 0 or -errno. */
int nvmeatomic_reserve_memory(uint64_t bytes);
/* Zeroed memory that is taken from the machine where it is touched; both multiples of the page, the
   alignment a power of two: 0 or -errno. */
int nvmeatomic_map_memory(uint64_t bytes, uint64_t alignment, void **memory);
void nvmeatomic_unmap_memory(void *memory, uint64_t bytes);
/* Whether so many descriptors, 32 at most, could be opened: 0 or -errno. */
int nvmeatomic_has_descriptors(int count);
/* RLIMIT_FSIZE in bytes, UINT64_MAX for none. */
uint64_t nvmeatomic_file_size_limit(void);
/* From now on SIGINT, SIGTERM and SIGHUP are noted and end nothing, but where they are ignored
 * already; SIGXFSZ and SIGPIPE are held back. In C because a handler may touch nothing of a
 * language with a runtime. */
int nvmeatomic_catch_stop_signals(void);
/* The signal noted last, 0 for none. */
int nvmeatomic_stop_signal(void);
/* clock_gettime(2), CLOCK_MONOTONIC. In C so that no structure is built for each write. */
uint64_t nvmeatomic_monotonic_nanoseconds(void);
/* CLOCK_REALTIME: milliseconds since 1970. */
uint64_t nvmeatomic_wall_clock_milliseconds(void);
/* CLOCK_MONOTONIC to the last tick, a few milliseconds ago: CLOCK_MONOTONIC_COARSE, for a tenth. */
uint64_t nvmeatomic_coarse_nanoseconds(void);
/* getrusage(2), RUSAGE_SELF. */
void nvmeatomic_processor_time(uint64_t *user_nanoseconds, uint64_t *system_nanoseconds);
