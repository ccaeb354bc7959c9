#include "CNVMeAtomic.h"

#include <errno.h>
#include <libdevmapper.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* libdevmapper writes to standard error unless told otherwise; errors are returned here. */
static void be_silent(int level, const char *file, int line, int error, const char *format, ...) {
  (void)level, (void)file, (void)line, (void)error, (void)format;
}

struct text {
  char *bytes;
  size_t capacity, used;
  bool is_full;
};

static void append(struct text *text, const char *word) {
  size_t length = strlen(word);
  if (text->used + length > text->capacity) {
    text->is_full = true;
    return;
  }
  memcpy(text->bytes + text->used, word, length);
  text->used += length;
}

/* crypt's second word is its key, which never leaves this function. */
static void append_parameters(struct text *text, const char *type, const char *parameters) {
  if (strcmp(type, "crypt") != 0) {
    append(text, parameters);
    return;
  }
  const char *key = strchr(parameters, ' ');
  const char *rest = key == NULL ? NULL : strchr(key + 1, ' ');
  append(text, "cipher key");
  if (rest != NULL) append(text, rest);
}

static void append_targets(struct text *text, struct dm_task *task) {
  void *next = NULL;
  do {
    uint64_t start = 0, length = 0;
    char *type = NULL, *parameters = NULL;
    next = dm_get_next_target(task, next, &start, &length, &type, &parameters);
    if (type == NULL) continue;
    char head[96];
    snprintf(head, sizeof head, "%llu %llu ", (unsigned long long)start,
             (unsigned long long)length);
    append(text, head);
    append(text, type);
    append(text, " ");
    append_parameters(text, type, parameters == NULL ? "" : parameters);
    append(text, "\n");
  } while (next != NULL);
}

int64_t nvmeatomic_device_mapper_table(uint32_t major, uint32_t minor, char *table,
                                       size_t capacity) {
  dm_log_with_errno_init(be_silent);
  struct dm_task *task = dm_task_create(DM_DEVICE_TABLE);
  if (task == NULL) return -ENOMEM;
  struct text text = {.bytes = table, .capacity = capacity};
  struct dm_info information = {0};
  int64_t result;
  errno = 0;
  /* Keys are wiped from libdevmapper's own buffers too. */
  if (!dm_task_secure_data(task) || !dm_task_no_open_count(task) ||
      !dm_task_set_major_minor(task, (int)major, (int)minor, 0) || !dm_task_run(task)) {
    int number = dm_task_get_errno(task);
    result = number != 0 ? -number : errno != 0 ? -errno : -EIO;
  } else if (!dm_task_get_info(task, &information) || !information.exists ||
             !information.live_table) {
    result = -ENODEV;
  } else {
    append_targets(&text, task);
    result = text.is_full ? -ERANGE : (int64_t)text.used;
  }
  dm_task_destroy(task);
  return result;
}
