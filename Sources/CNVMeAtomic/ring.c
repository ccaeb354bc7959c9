#include "CNVMeAtomic.h"

#include <errno.h>
#include <liburing.h>
#include <linux/nvme_ioctl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct nvmeatomic_ring {
  struct io_uring ring;
};

_Static_assert(sizeof(struct nvme_uring_cmd) == 72, "fills an entry's second half");
_Static_assert(offsetof(struct io_uring_sqe, cmd) == 48, "where the command begins");
_Static_assert(sizeof(struct io_uring_cqe) == sizeof(struct nvmeatomic_ring_completion) &&
                   offsetof(struct io_uring_cqe, res) ==
                       offsetof(struct nvmeatomic_ring_completion, result),
               "completions are read where they are");
_Static_assert(offsetof(struct io_uring_sqe, buf_index) == 40, "beside the command, not in it");

int nvmeatomic_ring_create(uint32_t entries, bool takes_commands, bool stays_on_thread,
                           struct nvmeatomic_ring **created) {
  struct nvmeatomic_ring *ring = calloc(1, sizeof *ring);
  if (ring == NULL) return -ENOMEM;
  const unsigned wide = takes_commands ? IORING_SETUP_SQE128 | IORING_SETUP_CQE32 : 0;
  /* Completions wait for the one thread that asks for them (Linux 6.1); older kernels interrupt. */
  const unsigned deferred =
      stays_on_thread ? IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN : 0;
  int status = io_uring_queue_init(entries, &ring->ring, wide | deferred);
  if (status == -EINVAL) status = io_uring_queue_init(entries, &ring->ring, wide);
  if (status < 0) {
    free(ring);
    return status;
  }
  *created = ring;
  return 0;
}

void nvmeatomic_ring_destroy(struct nvmeatomic_ring *ring) {
  /* The kernel takes a ring down when it likes, after the process has ended even; the file is let
   * go here, so that the next program finds the device free. */
  io_uring_unregister_files(&ring->ring);
  io_uring_queue_exit(&ring->ring);
  free(ring);
}

int nvmeatomic_ring_register_file(struct nvmeatomic_ring *ring, int descriptor) {
  return io_uring_register_files(&ring->ring, &descriptor, 1);
}

int nvmeatomic_ring_register_buffer(struct nvmeatomic_ring *ring, void *memory, size_t count) {
  const struct iovec region = {.iov_base = memory, .iov_len = count};
  return io_uring_register_buffers(&ring->ring, &region, 1);
}

static bool push(struct io_uring_sqe *sqe, uint64_t token) {
  sqe->flags |= IOSQE_FIXED_FILE;
  io_uring_sqe_set_data64(sqe, token);
  return true;
}

bool nvmeatomic_ring_write(struct nvmeatomic_ring *ring, const void *bytes, uint32_t count,
                           uint64_t offset, int flags, uint64_t token) {
  struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->ring);
  if (sqe == NULL) return false;
  io_uring_prep_write(sqe, 0, bytes, count, offset);
  sqe->rw_flags = flags;
  return push(sqe, token);
}

bool nvmeatomic_ring_read(struct nvmeatomic_ring *ring, void *bytes, uint32_t count,
                          uint64_t offset, uint64_t token) {
  struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->ring);
  if (sqe == NULL) return false;
  io_uring_prep_read(sqe, 0, bytes, count, offset);
  return push(sqe, token);
}

bool nvmeatomic_ring_synchronize(struct nvmeatomic_ring *ring, uint64_t token) {
  struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->ring);
  if (sqe == NULL) return false;
  io_uring_prep_fsync(sqe, 0, IORING_FSYNC_DATASYNC);
  return push(sqe, token);
}

bool nvmeatomic_ring_command(struct nvmeatomic_ring *ring,
                             const struct nvmeatomic_command *command, bool in_registered_buffer,
                             uint64_t token) {
  struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->ring);
  if (sqe == NULL) return false;
  memset(sqe, 0, 128);
  sqe->opcode = IORING_OP_URING_CMD;
  sqe->cmd_op = NVME_URING_CMD_IO;
  sqe->uring_cmd_flags = in_registered_buffer ? IORING_URING_CMD_FIXED : 0;
  struct nvme_uring_cmd *into = (struct nvme_uring_cmd *)sqe->cmd;
  into->opcode = command->opcode;
  into->nsid = command->nsid;
  into->addr = (uint64_t)(uintptr_t)command->bytes;
  into->data_len = command->count;
  into->cdw10 = (uint32_t)command->first_block;
  into->cdw11 = (uint32_t)(command->first_block >> 32);
  into->cdw12 = command->dword12;
  return push(sqe, token);
}

struct nvmeatomic_ring_completions
nvmeatomic_ring_completions(const struct nvmeatomic_ring *ring) {
  return (struct nvmeatomic_ring_completions){
      .entries = (const struct nvmeatomic_ring_completion *)ring->ring.cq.cqes,
      .mask = *ring->ring.cq.kring_mask,
      .shift = (ring->ring.flags & IORING_SETUP_CQE32) ? 1 : 0,
  };
}

int nvmeatomic_ring_turn(struct nvmeatomic_ring *ring, uint32_t consumed, uint32_t wait_for) {
  unsigned ready;
  int status;
  io_uring_cq_advance(&ring->ring, consumed);
  do {
    status = io_uring_submit_and_wait(&ring->ring, wait_for);
    if (status < 0 && status != -EINTR) return status;
    ready = io_uring_cq_ready(&ring->ring);
  } while (ready < wait_for || status < 0);
  return (int)ready;
}

int nvmeatomic_ring_drain(struct nvmeatomic_ring *ring, uint32_t consumed, uint32_t in_flight) {
  io_uring_cq_advance(&ring->ring, consumed);
  while (in_flight > 0) {
    const int status = io_uring_submit_and_wait(&ring->ring, 1);
    /* The kernel lacks memory or room for the moment; nothing else can be done meanwhile. */
    if (status == -EAGAIN || status == -EBUSY || status == -ENOMEM) usleep(1000);
    else if (status < 0 && status != -EINTR) return status;
    const unsigned ready = io_uring_cq_ready(&ring->ring);
    io_uring_cq_advance(&ring->ring, ready);
    in_flight -= ready < in_flight ? ready : in_flight;
  }
  return 0;
}
