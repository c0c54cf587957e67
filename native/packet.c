/*
 * An AF_PACKET socket (man 7 packet) on Node's loop: whole Ethernet frames, as the interface shows them.
 * The filter stands before the socket is bound, so that no unfiltered frame slips in. Many frames leave, and many come
 * in, with one system call each (sendmmsg, recvmmsg). The kernel stamps with the wall clock: clock.h makes it monotonic.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "shim.h"

enum { ON_FRAME, ON_ERROR };
enum { AT_ONCE = 32, WAKE_UPS = 8, SNAP_DEFAULT = 2048, SNAP_MAX = 65536, FILTER_MAX = 4096, MANY_MAX = 4096 };

typedef struct {
  watch watch;
  bool stamped;
  wall_clock wall;
  uint32_t snap;
  uint8_t *frames; /* AT_ONCE of them, `snap` bytes each */
} packet;

static void packet_readable(watch *w, int error) {
  packet *p = (packet *)w;
  /* ENETDOWN: the interface went down or away. The socket lives on and hears it when it is up again. */
  if (error && !watch_report(w, ON_ERROR, error)) return;
  for (int round = 0; round < WAKE_UPS; round++) {
    struct mmsghdr batch[AT_ONCE];
    struct iovec parts[AT_ONCE];
    struct sockaddr_ll from[AT_ONCE];
    _Alignas(struct cmsghdr) char control[AT_ONCE][CMSG_SPACE(sizeof(struct timespec))];
    memset(batch, 0, sizeof batch);
    for (int i = 0; i < AT_ONCE; i++) {
      parts[i] = (struct iovec){p->frames + (size_t)i * p->snap, p->snap};
      batch[i].msg_hdr.msg_name = &from[i];
      batch[i].msg_hdr.msg_namelen = sizeof from[i];
      batch[i].msg_hdr.msg_iov = &parts[i];
      batch[i].msg_hdr.msg_iovlen = 1;
      if (p->stamped) {
        batch[i].msg_hdr.msg_control = control[i];
        batch[i].msg_hdr.msg_controllen = sizeof control[i];
      }
    }
    int got = recvmmsg(w->fd, batch, AT_ONCE, MSG_DONTWAIT, NULL);
    if (got < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN || !watch_report(w, ON_ERROR, errno)) return;
      continue;
    }
    int64_t now = p->stamped ? wall_read(&p->wall) : 0;
    for (int i = 0; i < got; i++) {
      napi_handle_scope scope;
      napi_value argv[4];
      bool open = true;
      if (napi_open_handle_scope(w->env, &scope) != napi_ok) return;
      int64_t at = p->stamped ? wall_to_monotonic(&p->wall, stamp_of(&batch[i].msg_hdr), now) : 0;
      if (napi_create_buffer_copy(w->env, batch[i].msg_len, parts[i].iov_base, NULL, &argv[0]) == napi_ok &&
          napi_create_int32(w->env, from[i].sll_ifindex, &argv[1]) == napi_ok &&
          napi_create_uint32(w->env, from[i].sll_pkttype, &argv[2]) == napi_ok &&
          napi_create_double(w->env, (double)at, &argv[3]) == napi_ok)
        open = watch_call(w, ON_FRAME, 4, argv);
      napi_close_handle_scope(w->env, scope);
      if (!open) return; /* closing freed nothing that is read here: the watch is held by the poll's callback */
    }
    if (got < AT_ONCE) return;
  }
}

static void packet_closing(watch *w) {
  packet *p = (packet *)w;
  free(p->frames);
  p->frames = NULL;
}

/* One frame and the interface it leaves by. False for anything that is no Ethernet frame. */
static bool outgoing(napi_env env, napi_value bytes, napi_value index, struct iovec *part, struct sockaddr_ll *to) {
  uint8_t *data;
  size_t length;
  uint32_t ifindex;
  if (!bytes_of(env, bytes, &data, &length) || length < ETH_HLEN || length > SNAP_MAX ||
      !u32_of(env, index, &ifindex) || ifindex == 0 || ifindex > INT32_MAX)
    return false;
  *part = (struct iovec){data, length};
  *to = (struct sockaddr_ll){.sll_family = AF_PACKET, .sll_ifindex = (int)ifindex, .sll_halen = ETH_ALEN};
  memcpy(&to->sll_protocol, data + 12, 2);
  memcpy(to->sll_addr, data, ETH_ALEN);
  return true;
}

static napi_value packet_send(napi_env env, napi_callback_info info) {
  size_t argc = 2;
  napi_value argv[2];
  struct iovec part;
  struct sockaddr_ll to;
  watch *w = watch_this(env, info, packet_readable, &argc, argv);
  if (!w) return NULL;
  if (argc < 2 || !outgoing(env, argv[0], argv[1], &part, &to))
    return throw_type(env, "send takes a frame (Uint8Array of 14 to 65536 bytes) and an interface index");
  ssize_t sent;
  do sent = sendto(w->fd, part.iov_base, part.iov_len, MSG_DONTWAIT, (struct sockaddr *)&to, sizeof to);
  while (sent < 0 && errno == EINTR);
  if (sent < 0) return throw_errno(env, "sendto", errno);
  return NULL;
}

/* Answers the frames that did not go: an array of { index, code }, empty when all went. */
static napi_value packet_send_many(napi_env env, napi_callback_info info) {
  size_t argc = 1;
  napi_value argv[1], failed;
  bool array = false;
  uint32_t count, failures = 0;
  watch *w = watch_this(env, info, packet_readable, &argc, argv);
  if (!w) return NULL;
  if (argc < 1 || napi_is_array(env, argv[0], &array) != napi_ok || !array ||
      napi_get_array_length(env, argv[0], &count) != napi_ok || count > MANY_MAX)
    return throw_type(env, "sendMany takes an array of at most 4096 [frame, interface index]");
  if (napi_create_array(env, &failed) != napi_ok) return NULL;
  struct mmsghdr batch[AT_ONCE];
  struct iovec parts[AT_ONCE];
  struct sockaddr_ll to[AT_ONCE];
  for (uint32_t first = 0; first < count; first += AT_ONCE) {
    int filled = (int)(count - first < AT_ONCE ? count - first : AT_ONCE);
    napi_handle_scope scope;
    if (napi_open_handle_scope(env, &scope) != napi_ok) return NULL;
    memset(batch, 0, sizeof batch);
    for (int i = 0; i < filled; i++) {
      napi_value pair, bytes, index;
      bool is_pair = false;
      if (napi_get_element(env, argv[0], first + (uint32_t)i, &pair) != napi_ok ||
          napi_is_array(env, pair, &is_pair) != napi_ok || !is_pair ||
          napi_get_element(env, pair, 0, &bytes) != napi_ok || napi_get_element(env, pair, 1, &index) != napi_ok ||
          !outgoing(env, bytes, index, &parts[i], &to[i])) {
        napi_close_handle_scope(env, scope);
        return throw_type(env, "sendMany takes an array of [frame, interface index]");
      }
      batch[i].msg_hdr.msg_name = &to[i];
      batch[i].msg_hdr.msg_namelen = sizeof to[i];
      batch[i].msg_hdr.msg_iov = &parts[i];
      batch[i].msg_hdr.msg_iovlen = 1;
    }
    /* sendmmsg stops at the first frame that fails and names the error only when that is the first of the call. */
    for (int done = 0; done < filled;) {
      int sent = sendmmsg(w->fd, batch + done, (unsigned)(filled - done), MSG_DONTWAIT);
      if (sent >= 0) {
        done += sent;
        continue;
      }
      if (errno == EINTR) continue;
      napi_value entry, index, code;
      if (napi_create_string_utf8(env, errno_name(errno), NAPI_AUTO_LENGTH, &code) == napi_ok &&
          napi_create_uint32(env, first + (uint32_t)done, &index) == napi_ok &&
          napi_create_object(env, &entry) == napi_ok &&
          napi_set_named_property(env, entry, "index", index) == napi_ok &&
          napi_set_named_property(env, entry, "code", code) == napi_ok)
        napi_set_element(env, failed, failures++, entry);
      done++;
    }
    napi_close_handle_scope(env, scope);
  }
  return failed;
}

/* { received, dropped } since the last call. */
static napi_value packet_statistics(napi_env env, napi_callback_info info) {
  watch *w = watch_this(env, info, packet_readable, NULL, NULL);
  if (!w) return NULL;
  struct tpacket_stats counts = {0};
  socklen_t length = sizeof counts;
  if (getsockopt(w->fd, SOL_PACKET, PACKET_STATISTICS, &counts, &length) != 0)
    return throw_errno(env, "getsockopt", errno);
  napi_value object, received, dropped;
  if (napi_create_object(env, &object) != napi_ok || napi_create_uint32(env, counts.tp_packets, &received) != napi_ok ||
      napi_create_uint32(env, counts.tp_drops, &dropped) != napi_ok ||
      napi_set_named_property(env, object, "received", received) != napi_ok ||
      napi_set_named_property(env, object, "dropped", dropped) != napi_ok)
    return NULL;
  return object;
}

/* Reads [[code, jt, jf, k], ...]. Answers the number of instructions, -1 for anything else. */
static int read_filter(napi_env env, napi_value list, struct sock_filter *out) {
  uint32_t count;
  if (napi_get_array_length(env, list, &count) != napi_ok || count == 0 || count > FILTER_MAX) return -1;
  for (uint32_t i = 0; i < count; i++) {
    static const uint32_t limits[4] = {0xffff, 0xff, 0xff, 0xffffffff};
    napi_value row, cell;
    uint32_t cells[4];
    bool array = false;
    if (napi_get_element(env, list, i, &row) != napi_ok || napi_is_array(env, row, &array) != napi_ok || !array)
      return -1;
    for (uint32_t j = 0; j < 4; j++)
      if (napi_get_element(env, row, j, &cell) != napi_ok ||
          !u32_of(env, cell, &cells[j]) || cells[j] > limits[j])
        return -1;
    out[i] = (struct sock_filter){(uint16_t)cells[0], (uint8_t)cells[1], (uint8_t)cells[2], cells[3]};
  }
  return (int)count;
}

napi_value packet_open(napi_env env, napi_callback_info info) {
  static const char *const names[CALLBACKS] = {"onFrame", "onError"};
  static const napi_property_descriptor methods[] = {METHOD("send", packet_send),
                                                     METHOD("sendMany", packet_send_many),
                                                     METHOD("statistics", packet_statistics)};
  size_t argc = 1;
  napi_value argv[1], filter;
  uint32_t ifindex = 0, ethertype = 0, receive = 0, snap = SNAP_DEFAULT;
  bool stamped = false;
  if (napi_get_cb_info(env, info, &argc, argv, NULL, NULL) != napi_ok ||
      !option_u32(env, argv[0], "ethertype", &ethertype) || !option_u32(env, argv[0], "ifindex", &ifindex) ||
      !option_u32(env, argv[0], "snap", &snap) || !option_u32(env, argv[0], "rcvbuf", &receive) ||
      !option_bool(env, argv[0], "timestamps", &stamped) || !option_array(env, argv[0], "filter", &filter))
    return NULL;
  if (ethertype == 0 || ethertype > 0xffff || ifindex > INT32_MAX)
    return throw_type(env, "openPacket takes { ethertype, ifindex, filter, onFrame, onError }");

  packet *p = calloc(1, sizeof *p);
  if (!p) return throw_errno(env, "calloc", ENOMEM);
  p->watch.readable = packet_readable;
  p->watch.closing = packet_closing;
  p->stamped = stamped;
  p->snap = snap < 64 ? 64 : snap > SNAP_MAX ? SNAP_MAX : snap;
  p->frames = malloc((size_t)p->snap * AT_ONCE);
  struct sock_filter *program = NULL;
  const char *call = "malloc";
  int error = ENOMEM, fd = -1;
  if (!p->frames) goto fail;

  call = "socket";
  fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0); /* protocol 0 hears nothing yet */
  if (fd < 0) goto fail_errno;
  if (filter) {
    call = "malloc";
    program = malloc(FILTER_MAX * sizeof *program);
    if (!program) goto fail_errno;
    int count = read_filter(env, filter, program);
    call = "filter";
    error = EINVAL;
    if (count < 0) goto fail;
    struct sock_fprog attached = {(unsigned short)count, program};
    call = "setsockopt";
    if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &attached, sizeof attached) != 0) goto fail_errno;
  }
  if (receive > 0) {
    int size = receive > (64U << 20) ? (int)(64U << 20) : (int)receive;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) != 0)
      setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
  }
  const int on = 1;
  call = "setsockopt";
  if (p->stamped && setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on) != 0) goto fail_errno;
  if (p->stamped) wall_read(&p->wall);
  call = "bind";
  struct sockaddr_ll at = {
      .sll_family = AF_PACKET, .sll_protocol = htons((uint16_t)ethertype), .sll_ifindex = (int)ifindex};
  if (bind(fd, (struct sockaddr *)&at, sizeof at) != 0) goto fail_errno;
  free(program);
  return watch_open(env, &p->watch, fd, argv[0], names, methods, sizeof methods / sizeof methods[0]);

fail_errno:
  error = errno;
fail:
  if (fd >= 0) close(fd);
  free(program);
  free(p->frames);
  free(p);
  return throw_errno(env, call, error);
}
