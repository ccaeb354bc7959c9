#pragma once
/* Only CNVMeAtomic's nvme.c includes libnvme; no Swift module imports this one. */
#include <libnvme.h>
