#include "CNVMeAtomic.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

int nvmeatomic_create_log(const char *path) {
  const int flags = O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_DSYNC | O_CLOEXEC;
  const int descriptor = open(path, flags, 0644);
  return descriptor < 0 ? -errno : descriptor;
}

/* A socket of one address, connected within ten seconds; or -errno. */
static int connect_to(const struct addrinfo *address) {
  const int descriptor =
      socket(address->ai_family, address->ai_socktype | SOCK_CLOEXEC, address->ai_protocol);
  if (descriptor < 0) return -errno;
  const struct timeval limit = {.tv_sec = 10};
  const int yes = 1;
  setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  if (setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes) < 0 ||
      connect(descriptor, address->ai_addr, address->ai_addrlen) < 0) {
    const int status = errno == EINPROGRESS ? -ETIMEDOUT : -errno;
    close(descriptor);
    return status;
  }
  return descriptor;
}

static int resolve(const char *host, uint16_t port, int flags, struct addrinfo **addresses) {
  char service[8];
  snprintf(service, sizeof service, "%u", port);
  const struct addrinfo wanted = {.ai_family = AF_UNSPEC,
                                  .ai_socktype = SOCK_STREAM,
                                  .ai_flags = flags | AI_NUMERICSERV};
  switch (getaddrinfo(host, service, &wanted, addresses)) {
  case 0: return 0;
  case EAI_SYSTEM: return -errno;
  case EAI_MEMORY: return -ENOMEM;
  case EAI_AGAIN: return -EAGAIN;
  default: return -ENOENT;
  }
}

int nvmeatomic_connect(const char *host, uint16_t port) {
  struct addrinfo *addresses;
  int status = resolve(host, port, 0, &addresses);
  if (status < 0) return status;
  for (const struct addrinfo *each = addresses; each != NULL; each = each->ai_next) {
    status = connect_to(each);
    if (status >= 0) break;
  }
  freeaddrinfo(addresses);
  return status;
}

int nvmeatomic_listen(uint16_t port) {
  /* Of both versions of IP where there is the sixth. */
  const int yes = 1, no = 0;
  int descriptor = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const struct sockaddr_in6 any6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
  const struct sockaddr_in any4 = {.sin_family = AF_INET, .sin_port = htons(port)};
  const struct sockaddr *address = (const struct sockaddr *)&any6;
  socklen_t length = sizeof any6;
  if (descriptor < 0) {
    descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    address = (const struct sockaddr *)&any4;
    length = sizeof any4;
  } else {
    setsockopt(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
  }
  if (descriptor < 0) return -errno;
  setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (bind(descriptor, address, length) < 0 || listen(descriptor, 1) < 0) {
    const int status = -errno;
    close(descriptor);
    return status;
  }
  return descriptor;
}

int nvmeatomic_accept(int descriptor) {
  const int accepted = accept4(descriptor, NULL, NULL, SOCK_CLOEXEC);
  if (accepted < 0) return -errno;
  /* A machine that has lost its power says nothing any more: after a minute it is asked. */
  const int yes = 1, idle = 60;
  setsockopt(accepted, SOL_SOCKET, SO_KEEPALIVE, &yes, sizeof yes);
  setsockopt(accepted, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
  return accepted;
}

int nvmeatomic_is_own_peer(int descriptor) {
  struct sockaddr_storage peer;
  socklen_t length = sizeof peer;
  if (getpeername(descriptor, (struct sockaddr *)&peer, &length) < 0) return -errno;
  if (peer.ss_family == AF_INET) {
    ((struct sockaddr_in *)&peer)->sin_port = 0;
  } else if (peer.ss_family == AF_INET6) {
    ((struct sockaddr_in6 *)&peer)->sin6_port = 0;
  } else {
    return 0;
  }
  /* Only an address of this machine can be bound. */
  const int probe = socket(peer.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (probe < 0) return -errno;
  const int is_own = bind(probe, (const struct sockaddr *)&peer, length) == 0;
  close(probe);
  return is_own;
}

int nvmeatomic_wait_readable(int descriptor, int milliseconds) {
  struct pollfd wanted = {.fd = descriptor, .events = POLLIN};
  const int count = poll(&wanted, 1, milliseconds);
  if (count < 0) return errno == EINTR ? 0 : -errno;
  return count;
}

int nvmeatomic_append(int descriptor, const void *bytes, size_t count, int is_socket) {
  const char *rest = bytes;
  while (count > 0) {
    /* A peer that has gone is an error, not a signal. */
    const ssize_t done =
        is_socket ? send(descriptor, rest, count, MSG_NOSIGNAL) : write(descriptor, rest, count);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return is_socket && errno == EAGAIN ? -ETIMEDOUT : -errno;
    rest += done;
    count -= (size_t)done;
  }
  return 0;
}
