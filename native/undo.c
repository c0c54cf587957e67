/*
 * x0undo: holds the messages that undo a repair in flight, and sends them when the agent dies, even by kill -9.
 *
 * The agent starts it with a pipe on standard input and keeps the other end open. It reads records; all numbers are
 * little-endian:
 *
 *     u32 length    bytes that follow this field: 8 + the message
 *     u8  type      1 ARM, 2 DISARM, 3 DISMISS
 *     u8  protocol  netlink protocol (0 rtnetlink, 16 generic netlink); 0 for the other types
 *     u16 wait      ARM only: milliseconds after the end of input before the message may go; 0 for the other types
 *     u32 id        the agent's name for the repair's step; 0 for DISMISS
 *     message       ARM only: one complete netlink request, header and all, in the machine's own byte order
 *
 * ARM holds the message; an id already armed is replaced and counts as armed last. DISARM forgets it (an unknown id is
 * fine). DISMISS ends the helper without sending. At the end of input the messages still armed are sent in reverse order
 * of arming, those that wait when their time has come, each with NLM_F_REQUEST | NLM_F_ACK and a sequence number of the helper's own, and the kernel's answer is
 * awaited. One line a message goes to standard error, where that takes it at once.
 *
 * An agent that is stopped (SIGSTOP, job control) for three seconds ends nothing and mends nothing: what is armed then is
 * undone as at the end of input, and forgotten. One that only waits for the CPU is not stopped.
 *
 * Bounds: 64 armed, 4096 bytes a message. A malformed record counts as the end of input, since what the agent wants is
 * no longer known; what was armed before it is sent. Exit: 0 done or dismissed, 1 some undo was refused, 2 malformed.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { ARM = 1, DISARM = 2, DISMISS = 3 };
enum { SLOTS = 64, MESSAGE_MAX = 4096, HEAD = 8, PROTOCOLS = 32, ACK_MS = 2000, TRIES = 5, PAUSE_MS = 20 };
enum { LOOK_MS = 1000, STOPPED_LOOKS = 4 };

typedef struct {
  uint32_t id, length; /* length 0: free */
  uint64_t order;
  uint8_t protocol;
  uint16_t wait;
  _Alignas(struct nlmsghdr) uint8_t message[MESSAGE_MAX];
} slot;

static slot slots[SLOTS]; /* untouched pages cost nothing */
static uint64_t arms;

/* Who reads our lines may have stopped reading them: what is to be undone does not wait for that. */
static void say(const char *format, ...) {
  struct pollfd out = {STDERR_FILENO, POLLOUT, 0};
  if (poll(&out, 1, 0) != 1 || !(out.revents & POLLOUT)) return;
  va_list words;
  va_start(words, format);
  vfprintf(stderr, format, words);
  va_end(words);
}

static uint32_t le32(const uint8_t *p) {
  return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Fills `into`. 1 = filled, 0 = the input ended before its first byte, -1 = it ended inside or failed. */
static int fill(uint8_t *into, size_t length) {
  size_t got = 0;
  while (got < length) {
    ssize_t n = read(STDIN_FILENO, into + got, length - got);
    if (n > 0) {
      got += (size_t)n;
    } else if (n == 0) {
      return got == 0 ? 0 : -1;
    } else if (errno == EAGAIN) { /* whoever made the pipe made it non-blocking */
      struct pollfd wait = {STDIN_FILENO, POLLIN, 0};
      poll(&wait, 1, -1);
    } else if (errno == ECONNRESET) {
      return got == 0 ? 0 : -1;
    } else if (errno != EINTR) {
      return -1;
    }
  }
  return 1;
}

static slot *find(uint32_t id) {
  for (int i = 0; i < SLOTS; i++)
    if (slots[i].length && slots[i].id == id) return &slots[i];
  return NULL;
}

static slot *vacant(void) {
  for (int i = 0; i < SLOTS; i++)
    if (!slots[i].length) return &slots[i];
  return NULL;
}

static long milliseconds_until(const struct timespec *then) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (then->tv_sec - now.tv_sec) * 1000 + (then->tv_nsec - now.tv_nsec) / 1000000;
}

static int milliseconds_left(const struct timespec *end) {
  long left = milliseconds_until(end);
  return left < 0 ? 0 : (int)left;
}

/* Waits for the answer to `seq`: 0 or an errno. Says in `said` what the kernel said (extended ack). */
static int await_ack(int fd, uint32_t seq, char *said, size_t said_size) {
  static _Alignas(struct nlmsghdr) uint8_t answer[8192 + MESSAGE_MAX];
  struct timespec end;
  clock_gettime(CLOCK_MONOTONIC, &end);
  end.tv_sec += ACK_MS / 1000;
  for (;;) {
    struct pollfd wait = {fd, POLLIN, 0};
    int left = milliseconds_left(&end);
    int ready = poll(&wait, 1, left);
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return ready < 0 ? errno : ETIMEDOUT;
    struct sockaddr_nl from = {0};
    socklen_t from_size = sizeof from;
    ssize_t length = recvfrom(fd, answer, sizeof answer, MSG_DONTWAIT, (struct sockaddr *)&from, &from_size);
    if (length < 0) {
      if (errno == EINTR || errno == EAGAIN) continue;
      return errno;
    }
    if (from.nl_pid != 0) continue; /* another process, pretending */
    /* Not with NLMSG_NEXT: what it subtracts is aligned and may be more than is left. */
    struct nlmsghdr *h;
    for (size_t start = 0; start + NLMSG_HDRLEN <= (size_t)length; start += NLMSG_ALIGN(h->nlmsg_len)) {
      h = (struct nlmsghdr *)(answer + start);
      if (h->nlmsg_len < NLMSG_HDRLEN || h->nlmsg_len > (size_t)length - start) break;
      if (h->nlmsg_seq != seq || h->nlmsg_type != NLMSG_ERROR) continue;
      if (h->nlmsg_len < NLMSG_LENGTH(sizeof(struct nlmsgerr))) return EBADMSG;
      struct nlmsgerr *error = NLMSG_DATA(h);
      size_t at = NLMSG_LENGTH(sizeof *error); /* with NETLINK_CAP_ACK only the header of the request comes back */
      while ((h->nlmsg_flags & NLM_F_ACK_TLVS) && at + NLA_HDRLEN <= h->nlmsg_len) {
        struct nlattr *a = (struct nlattr *)((uint8_t *)h + at);
        if (a->nla_len < NLA_HDRLEN || at + a->nla_len > h->nlmsg_len) break;
        size_t size = (size_t)(a->nla_len - NLA_HDRLEN);
        if ((a->nla_type & NLA_TYPE_MASK) == NLMSGERR_ATTR_MSG && size > 0)
          snprintf(said, said_size, ", %.*s", (int)(size - 1), (char *)a + NLA_HDRLEN);
        at += NLA_ALIGN(a->nla_len);
      }
      return -error->error;
    }
  }
}

static int send_undo(slot *s, char *said, size_t said_size) {
  static int sockets[PROTOCOLS]; /* descriptor + 1, so that 0 is none */
  static uint32_t seq = 0x78300000;
  if (!sockets[s->protocol]) {
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, s->protocol);
    if (fd < 0) return errno;
    const int on = 1;
    setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
    setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
    sockets[s->protocol] = fd + 1;
  }
  int fd = sockets[s->protocol] - 1, error = 0;
  for (int try = 0; try < TRIES; try++) {
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    struct nlmsghdr *h = (struct nlmsghdr *)s->message;
    h->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
    h->nlmsg_seq = ++seq;
    h->nlmsg_pid = 0;
    said[0] = 0;
    if (sendto(fd, s->message, s->length, 0, (struct sockaddr *)&kernel, sizeof kernel) < 0)
      error = errno;
    else
      error = await_ack(fd, seq, said, said_size);
    if (error != EBUSY && error != EAGAIN && error != EINTR && error != ENOBUFS) break;
    struct timespec pause = {0, PAUSE_MS * 1000000L};
    nanosleep(&pause, NULL);
  }
  return error;
}

static int undo_all(void) {
  int refused = 0;
  struct timespec ended;
  clock_gettime(CLOCK_MONOTONIC, &ended);
  for (;;) {
    slot *last = NULL, *soonest = NULL;
    long passed = -milliseconds_until(&ended);
    for (int i = 0; i < SLOTS; i++) {
      slot *s = &slots[i];
      if (!s->length) continue;
      if (!soonest || s->wait < soonest->wait) soonest = s;
      if (s->wait <= passed && (!last || s->order > last->order)) last = s;
    }
    if (!soonest) return refused;
    if (!last) {
      long left = soonest->wait - passed + 1;
      struct timespec pause = {left / 1000, left % 1000 * 1000000L};
      nanosleep(&pause, NULL);
      continue;
    }
    char said[256] = "";
    int error = send_undo(last, said, sizeof said);
    say("x0undo: step %u, protocol %u: %s%s\n", last->id, last->protocol, error ? strerror(error) : "undone", said);
    if (error) refused = 1;
    last->length = 0;
  }
}

static bool is_anything_armed(void) {
  for (int i = 0; i < SLOTS; i++)
    if (slots[i].length) return true;
  return false;
}

/* The state letter of proc(5), after the program's name, which may hold anything. */
static bool is_stopped(pid_t process) {
  char path[32], text[512];
  snprintf(path, sizeof path, "/proc/%d/stat", (int)process);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  ssize_t length = read(fd, text, sizeof text - 1);
  close(fd);
  if (length <= 0) return false;
  text[length] = 0;
  const char *name_end = strrchr(text, ')');
  return name_end && name_end[1] == ' ' && name_end[2] == 'T';
}

/* Returns when there is something to read, or the input has ended. */
static void await_input(pid_t agent) {
  for (int stopped = 0;;) {
    struct pollfd in = {STDIN_FILENO, POLLIN, 0};
    if (poll(&in, 1, is_anything_armed() ? LOOK_MS : -1) != 0) return;
    stopped = is_stopped(agent) ? stopped + 1 : 0;
    if (stopped < STOPPED_LOOKS) continue;
    say("x0undo: the agent is stopped\n");
    undo_all();
    stopped = 0;
  }
}

static int malformed(const char *what) {
  say("x0undo: malformed record (%s): undoing what was armed before it\n", what);
  undo_all();
  return 2;
}

int main(void) {
  setsid(); /* fails only for a group's leader, which then is its own group anyway */
  signal(SIGINT, SIG_IGN);
  signal(SIGTERM, SIG_IGN);
  signal(SIGHUP, SIG_IGN);
  signal(SIGQUIT, SIG_IGN);
  signal(SIGPIPE, SIG_IGN); /* whoever read our lines is gone as well */
  if (chdir("/") != 0) say("x0undo: stays in its directory\n");
  int score = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (score >= 0) { /* memory that ran out may be why the agent dies; without the right to say so, it stays */
    ssize_t ignored = write(score, "-900", 4);
    (void)ignored;
    close(score);
  }
  const pid_t agent = getppid();
  for (;;) {
    static uint8_t head[4 + HEAD];
    await_input(agent);
    int state = fill(head, sizeof head);
    if (state == 0) return undo_all();
    if (state < 0) return malformed("cut off");
    uint32_t length = le32(head), id = le32(head + 8);
    uint8_t type = head[4], protocol = head[5];
    if (length < HEAD || length > HEAD + MESSAGE_MAX) return malformed("length");
    uint16_t wait = (uint16_t)(head[6] | head[7] << 8);
    if ((wait && type != ARM) || protocol >= PROTOCOLS) return malformed("head");
    length -= HEAD;
    if (type != ARM && length > 0) return malformed("a message where none belongs");
    if (type == DISMISS) return 0;
    slot *s = find(id);
    if (type == DISARM) {
      if (s) s->length = 0;
    } else if (type == ARM) {
      static _Alignas(struct nlmsghdr) uint8_t message[MESSAGE_MAX];
      const struct nlmsghdr *h = (const struct nlmsghdr *)message;
      if (length < NLMSG_HDRLEN) return malformed("no netlink header");
      if (fill(message, length) != 1) return malformed("cut off"); /* the old message of this id stays armed */
      if (h->nlmsg_len != length) return malformed("netlink length");
      if (!s && !(s = vacant())) return malformed("more than 64 armed");
      memcpy(s->message, message, length);
      s->id = id;
      s->protocol = protocol;
      s->wait = wait;
      s->order = ++arms;
      s->length = length;
    } else {
      return malformed("type");
    }
  }
}
