#include "CNVMeAtomic.h"

#include <errno.h>
#include <libnvme.h>
#include <string.h>

/* libnvme returns a positive NVMe status, or -1 with errno set. */
static int status_or_errno(int status) {
  if (status >= 0) return status;
  return errno != 0 ? -errno : -EIO;
}

static int identify(int descriptor, enum nvme_identify_cns cns, uint32_t nsid, uint8_t *page) {
  struct nvme_identify_args arguments = {
      .data = page,
      .args_size = sizeof arguments,
      .fd = descriptor,
      .cns = cns,
      .nsid = nsid,
      .cntid = NVME_CNTLID_NONE,
      .cns_specific_id = NVME_CNSSPECID_NONE,
      .uuidx = NVME_UUID_NONE,
  };
  memset(page, 0, 4096);
  return status_or_errno(nvme_identify(&arguments));
}

int nvmeatomic_identify_controller(int descriptor, uint8_t page[4096]) {
  return identify(descriptor, NVME_IDENTIFY_CNS_CTRL, NVME_NSID_NONE, page);
}

int nvmeatomic_identify_namespace(int descriptor, uint32_t nsid, uint8_t page[4096]) {
  return identify(descriptor, NVME_IDENTIFY_CNS_NS, nsid, page);
}

int nvmeatomic_get_feature(int descriptor, uint8_t feature, uint32_t nsid, uint32_t *value) {
  struct nvme_get_features_args arguments = {
      .result = value,
      .args_size = sizeof arguments,
      .fd = descriptor,
      .nsid = nsid,
      .sel = NVME_GET_FEATURES_SEL_CURRENT,
      .fid = feature,
      .uuidx = NVME_UUID_NONE,
  };
  return status_or_errno(nvme_get_features(&arguments));
}

int nvmeatomic_data_units_written(int descriptor, uint64_t *units) {
  struct nvme_smart_log log = {0};
  const int status = status_or_errno(nvme_get_log_smart(descriptor, NVME_NSID_ALL, true, &log));
  if (status != 0) return status;
  *units = 0;
  for (int byte = 15; byte >= 0; byte--) {
    if (byte >= 8 && log.data_units_written[byte] != 0) return -ERANGE;
    if (byte < 8) *units = *units << 8 | log.data_units_written[byte];
  }
  return 0;
}

const char *nvmeatomic_status_words(uint16_t status) {
  return nvme_status_to_string(status, false);
}

int nvmeatomic_nsid(int descriptor) {
  uint32_t nsid = 0;
  if (nvme_get_nsid(descriptor, &nsid) < 0) return -errno;
  return nsid <= INT32_MAX ? (int)nsid : -ERANGE;
}

int nvmeatomic_io_command(int descriptor, const struct nvmeatomic_command *command) {
  struct nvme_passthru_cmd64 arguments = {
      .opcode = command->opcode,
      .nsid = command->nsid,
      .addr = (uint64_t)(uintptr_t)command->bytes,
      .data_len = command->count,
      .cdw10 = (uint32_t)command->first_block,
      .cdw11 = (uint32_t)(command->first_block >> 32),
      .cdw12 = command->dword12,
  };
  return status_or_errno(nvme_submit_io_passthru64(descriptor, &arguments, NULL));
}
