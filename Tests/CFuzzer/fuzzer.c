#include "CFuzzer.h"

/* libFuzzer's, which only Tests/fuzz/run links (`FuzzerInterface.h`). */
__attribute__((weak)) int LLVMFuzzerRunDriver(int *argc, char ***argv,
                                              int (*target)(const uint8_t *, size_t));

int fuzzer_run(int argc, char **argv, int (*target)(const uint8_t *bytes, size_t count)) {
  return LLVMFuzzerRunDriver ? LLVMFuzzerRunDriver(&argc, &argv, target) : -1;
}
