/*
 * A netlink socket (man 7 netlink) on Node's loop. What it adds to the bare socket: a lost message (ENOBUFS, or a
 * datagram larger than the buffer) is an event of its own, and only the kernel is listened to.
 */
#include <errno.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shim.h"

#ifndef SOL_NETLINK
#define SOL_NETLINK 270
#endif

enum { ON_MESSAGES, ON_OVERRUN, ON_ERROR };
enum {
  DATAGRAM = 64 * 1024, /* the kernel's dumps never exceed 32 KiB a datagram */
  PER_WAKE_UP = 64,     /* so that a flood cannot starve the rest of the loop */
};

typedef struct {
  watch watch;
  uint8_t *datagram; /* DATAGRAM bytes: what is never received is never touched, and costs no memory */
} netlink;

static void netlink_readable(watch *w, int error) {
  netlink *n = (netlink *)w;
  napi_value none = NULL;
  if (error == ENOBUFS) {
    if (!watch_call(w, ON_OVERRUN, 0, &none)) return;
  } else if (error) {
    if (!watch_report(w, ON_ERROR, error)) return;
  }
  for (int i = 0; i < PER_WAKE_UP; i++) {
    struct sockaddr_nl from = {0};
    struct iovec part = {n->datagram, DATAGRAM};
    struct msghdr message = {.msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &part, .msg_iovlen = 1};
    ssize_t length = recvmsg(w->fd, &message, MSG_DONTWAIT);
    if (length < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN) return;
      bool open = errno == ENOBUFS ? watch_call(w, ON_OVERRUN, 0, &none) : watch_report(w, ON_ERROR, errno);
      if (!open) return;
      continue;
    }
    if (from.nl_pid != 0) continue; /* another process, pretending */
    napi_handle_scope scope;
    if (napi_open_handle_scope(w->env, &scope) != napi_ok) return;
    bool open = true;
    napi_value buffer;
    if (message.msg_flags & MSG_TRUNC)
      open = watch_call(w, ON_OVERRUN, 0, &none);
    else if (napi_create_buffer_copy(w->env, (size_t)length, n->datagram, NULL, &buffer) == napi_ok)
      open = watch_call(w, ON_MESSAGES, 1, &buffer);
    napi_close_handle_scope(w->env, scope);
    if (!open) return;
  }
}

static void netlink_closing(watch *w) {
  netlink *n = (netlink *)w;
  free(n->datagram);
  n->datagram = NULL;
}

static napi_value netlink_send(napi_env env, napi_callback_info info) {
  size_t argc = 1, length;
  napi_value argv[1];
  uint8_t *data;
  watch *w = watch_this(env, info, netlink_readable, &argc, argv);
  if (!w) return NULL;
  if (argc < 1 || !bytes_of(env, argv[0], &data, &length) || length < sizeof(struct nlmsghdr))
    return throw_type(env, "send takes a Uint8Array that holds a netlink message");
  struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
  ssize_t sent;
  do sent = sendto(w->fd, data, length, MSG_DONTWAIT, (struct sockaddr *)&kernel, sizeof kernel);
  while (sent < 0 && errno == EINTR);
  if (sent < 0) return throw_errno(env, "sendto", errno);
  return NULL;
}

static napi_value membership(napi_env env, napi_callback_info info, int which) {
  size_t argc = 1;
  napi_value argv[1];
  uint32_t group;
  watch *w = watch_this(env, info, netlink_readable, &argc, argv);
  if (!w) return NULL;
  if (argc < 1 || !u32_of(env, argv[0], &group) || group == 0)
    return throw_type(env, "a multicast group is a number above 0");
  if (setsockopt(w->fd, SOL_NETLINK, which, &group, sizeof group) != 0) return throw_errno(env, "setsockopt", errno);
  return NULL;
}

static napi_value netlink_add(napi_env env, napi_callback_info info) {
  return membership(env, info, NETLINK_ADD_MEMBERSHIP);
}

static napi_value netlink_drop(napi_env env, napi_callback_info info) {
  return membership(env, info, NETLINK_DROP_MEMBERSHIP);
}

napi_value netlink_open(napi_env env, napi_callback_info info) {
  static const char *const names[CALLBACKS] = {"onMessages", "onOverrun", "onError"};
  static const napi_property_descriptor methods[] = {
      METHOD("send", netlink_send), METHOD("addMembership", netlink_add), METHOD("dropMembership", netlink_drop)};
  size_t argc = 1;
  napi_value argv[1], object, port;
  uint32_t protocol = UINT32_MAX, receive = 0;
  if (napi_get_cb_info(env, info, &argc, argv, NULL, NULL) != napi_ok ||
      !option_u32(env, argv[0], "protocol", &protocol) || !option_u32(env, argv[0], "rcvbuf", &receive))
    return NULL;
  if (protocol > INT32_MAX) return throw_type(env, "openNetlink takes { protocol, onMessages, onOverrun, onError }");
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, (int)protocol);
  if (fd < 0) return throw_errno(env, "socket", errno);
  /* Each of these is a comfort that an older kernel may lack. */
  const int on = 1;
  setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
  setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
#ifdef NETLINK_GET_STRICT_CHK
  setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof on);
#endif
  if (receive > 0) {
    int size = receive > (64U << 20) ? (int)(64U << 20) : (int)receive;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) != 0)
      setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
  }
  struct sockaddr_nl self = {.nl_family = AF_NETLINK};
  socklen_t length = sizeof self;
  if (bind(fd, (struct sockaddr *)&self, sizeof self) != 0 ||
      getsockname(fd, (struct sockaddr *)&self, &length) != 0) {
    int error = errno;
    close(fd);
    return throw_errno(env, "bind", error);
  }
  netlink *n = calloc(1, sizeof *n);
  if (!n || !(n->datagram = malloc(DATAGRAM))) {
    free(n);
    close(fd);
    return throw_errno(env, "malloc", ENOMEM);
  }
  n->watch.readable = netlink_readable;
  n->watch.closing = netlink_closing;
  object = watch_open(env, &n->watch, fd, argv[0], names, methods, sizeof methods / sizeof methods[0]);
  if (object && (napi_create_uint32(env, self.nl_pid, &port) != napi_ok ||
                 napi_set_named_property(env, object, "portId", port) != napi_ok)) {
    watch_close(&n->watch);
    return NULL;
  }
  return object;
}
