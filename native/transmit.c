/*
 * Frames sent at a given time, from a thread of their own: whatever the JavaScript thread is busy with, a garbage
 * collection included, costs no frame its slot. The thread sleeps to an absolute CLOCK_MONOTONIC time, with real-time
 * priority where the process may have it, allocates nothing, and calls nothing of Node's. Its word back is an eventfd.
 *
 * It wakes a little early and waits the rest out awake: what a timer, an idle CPU's way back and the scheduler take is
 * then over before the time has come. At ten frames a second that is some two thousandths of one CPU.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/net_tstamp.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "clock.h"
#include "shim.h"

enum { ON_SENT, ON_FAILED };
enum { SLOTS = 64, FRAME_MAX = 65536, STACK = 128 * 1024, STACK_USED = 16 * 1024 };
static const int64_t EARLY = 200000; /* the thread is awake so long before a frame's time */
static const int64_t SECOND = 1000000000;
static const int64_t NAP = 3600LL * 1000000000; /* the longest sleep: a far time may not fit a 32-bit time_t */

typedef enum { FREE, WAITING, SENDING, DONE } state;

/* A frame's way: FREE, WAITING (JavaScript's doing), SENDING, DONE (the thread's), FREE. */
typedef struct {
  state state;
  uint32_t ticket;
  int64_t at, latest; /* monotonic ns; `at` is when it left as soon as it is DONE */
  uint64_t order;     /* of what is DONE: how many were before */
  bool stamped;       /* `at` is the kernel's stamp, not our own reading before the call */
  int error;
  size_t length;
  uint8_t *frame; /* JavaScript's thread allocates and frees it */
  struct sockaddr_ll to;
} slot;

typedef struct {
  watch watch; /* its descriptor is the eventfd */
  int socket;
  bool running, stop, realtime;
  pthread_t thread;
  pthread_mutex_t mutex; /* guards `stop` and the slots, but for the frame of one that is SENDING */
  pthread_cond_t changed;
  uint32_t tickets;
  uint64_t sent;
  wall_clock wall;
  slot slots[SLOTS];
} transmitter;

static slot *first(transmitter *t, state wanted) {
  slot *found = NULL;
  for (slot *s = t->slots; s < t->slots + SLOTS; s++) {
    if (s->state != wanted) continue;
    if (!found || (wanted == DONE ? s->order < found->order : s->at < found->at)) found = s;
  }
  return found;
}

/* The kernel's stamp of what was sent last, wall clock; 0 where the driver gives none or has not yet. Empties the queue. */
static int64_t transmit_stamp(int fd) {
  _Alignas(struct cmsghdr) char control[512];
  int64_t stamp = 0;
  for (int i = 0; i < SLOTS; i++) {
    struct msghdr header = {.msg_control = control, .msg_controllen = sizeof control};
    /* The flag comes back with what came from the error queue; qemu-user answers 0 without it where the queue is empty. */
    if (recvmsg(fd, &header, MSG_ERRQUEUE | MSG_DONTWAIT) < 0 || !(header.msg_flags & MSG_ERRQUEUE)) break;
    int64_t found = stamp_of(&header);
    if (found) stamp = found;
  }
  return stamp;
}

static void transmit(transmitter *t, slot *s) {
  transmit_stamp(t->socket); /* one that came late belongs to a frame that has been answered */
  int64_t before = wall_read(&t->wall);
  s->stamped = false;
  s->error = 0;
  if (before > s->latest) {
    s->error = ETIME;
  } else {
    while (sendto(t->socket, s->frame, s->length, MSG_DONTWAIT, (struct sockaddr *)&s->to, sizeof s->to) < 0) {
      if (errno == EINTR) continue;
      s->error = errno;
      break;
    }
    int64_t stamp = s->error ? 0 : transmit_stamp(t->socket);
    if (stamp) {
      /* A stamp of another frame, or of a wall clock set meanwhile, does not fall between these two. */
      int64_t after = wall_read(&t->wall), left = wall_to_monotonic(&t->wall, stamp, after);
      if (left >= before && left < after) {
        s->at = left;
        s->stamped = true;
        return;
      }
    }
  }
  s->at = before;
}

/* linux/sched/types.h, which not every libc lets stand beside its sched.h. */
struct sched_attributes {
  uint32_t size, policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime, deadline, period;
};

/*
 * Without real-time priority: a short time slice (Linux 6.12), by which whoever has a long one is put off its CPU sooner,
 * and the best niceness that this process may have. Each is a comfort.
 */
static void hasten(void) {
  struct sched_attributes wanted = {.size = sizeof wanted, .nice = -20, .runtime = 100000};
  if (syscall(SYS_sched_setattr, 0, &wanted, 0) == 0) return;
  struct sched_attributes is = {0};
  if (syscall(SYS_sched_getattr, 0, &is, sizeof is, 0) != 0) return;
  wanted.nice = is.nice;
  syscall(SYS_sched_setattr, 0, &wanted, 0);
}

/* What the thread touches stays in memory: a page that has to be fetched first would be late. */
static void __attribute__((noinline)) settle(transmitter *t) {
  volatile char used[STACK_USED];
  for (size_t i = 0; i < sizeof used; i += 1024) used[i] = 0;
  mlock((const void *)used, sizeof used);
  mlock(t, sizeof *t);
}

static void wait_out(int64_t until) {
  while (monotonic_ns() < until) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__) || __ARM_ARCH >= 7
    __asm__ volatile("yield");
#endif
  }
}

static void *run(void *data) {
  transmitter *t = data;
  prctl(PR_SET_NAME, "x0transmit");
  prctl(PR_SET_TIMERSLACK, 1UL); /* without real-time priority the kernel may otherwise be 50 us late, to wake together */
  settle(t);
  pthread_mutex_lock(&t->mutex);
  if (!t->realtime) hasten();
  while (!t->stop) {
    slot *next = first(t, WAITING);
    int64_t now = monotonic_ns();
    if (!next) {
      pthread_cond_wait(&t->changed, &t->mutex);
    } else if (next->at > now + EARLY) {
      int64_t wake = next->at < now + NAP ? next->at - EARLY : now + NAP;
      struct timespec until = {.tv_sec = wake / SECOND, .tv_nsec = wake % SECOND};
      pthread_cond_timedwait(&t->changed, &t->mutex, &until);
    } else {
      next->state = SENDING;
      pthread_mutex_unlock(&t->mutex);
      wait_out(next->at);
      transmit(t, next);
      pthread_mutex_lock(&t->mutex);
      next->state = DONE;
      next->order = t->sent++;
      eventfd_write(t->watch.fd, 1);
    }
  }
  pthread_mutex_unlock(&t->mutex);
  return NULL;
}

static void vacate(slot *s) {
  free(s->frame);
  s->frame = NULL;
  s->state = FREE;
}

static void transmitter_readable(watch *w, int error) {
  (void)error; /* an eventfd has none */
  transmitter *t = (transmitter *)w;
  eventfd_t count;
  eventfd_read(w->fd, &count);
  for (int i = 0; i < SLOTS; i++) {
    pthread_mutex_lock(&t->mutex);
    slot *found = first(t, DONE), s;
    if (found) {
      s = *found;
      vacate(found);
    }
    pthread_mutex_unlock(&t->mutex);
    napi_handle_scope scope;
    if (!found || napi_open_handle_scope(w->env, &scope) != napi_ok) return;
    napi_value argv[3];
    bool open = true;
    if (napi_create_uint32(w->env, s.ticket, &argv[0]) == napi_ok &&
        napi_create_double(w->env, (double)s.at, &argv[1]) == napi_ok &&
        (s.error ? napi_create_string_utf8(w->env, errno_name(s.error), NAPI_AUTO_LENGTH, &argv[2])
                 : napi_get_boolean(w->env, s.stamped, &argv[2])) == napi_ok)
      open = watch_call(w, s.error ? ON_FAILED : ON_SENT, 3, argv);
    napi_close_handle_scope(w->env, scope);
    if (!open) return; /* the thread has ended; the watch is held by the poll's callback */
  }
}

/* The thread waits for nothing but the clock and us, so it ends at once. */
static void transmitter_closing(watch *w) {
  transmitter *t = (transmitter *)w;
  if (t->running) {
    pthread_mutex_lock(&t->mutex);
    t->stop = true;
    pthread_cond_signal(&t->changed);
    pthread_mutex_unlock(&t->mutex);
    pthread_join(t->thread, NULL);
  }
  for (slot *s = t->slots; s < t->slots + SLOTS; s++) vacate(s);
  pthread_cond_destroy(&t->changed);
  pthread_mutex_destroy(&t->mutex);
  close(t->socket);
  munlock(t, sizeof *t);
}

/* A time as JavaScript has it: nanoseconds, a double. */
static bool nanos(napi_env env, napi_value value, int64_t *out) {
  double ns;
  if (napi_get_value_double(env, value, &ns) != napi_ok || !(ns >= 0 && ns < 9e18)) return false;
  *out = (int64_t)ns;
  return true;
}

static napi_value transmitter_send(napi_env env, napi_callback_info info) {
  size_t argc = 4, length;
  napi_value argv[4], ticket;
  uint8_t *data;
  uint32_t ifindex;
  int64_t at, latest = INT64_MAX;
  napi_valuetype type;
  watch *w = watch_this(env, info, transmitter_readable, &argc, argv);
  if (!w) return NULL;
  transmitter *t = (transmitter *)w;
  if (argc < 3 || !bytes_of(env, argv[0], &data, &length) || length < ETH_HLEN || length > FRAME_MAX ||
      !u32_of(env, argv[1], &ifindex) || ifindex == 0 || ifindex > INT32_MAX ||
      !nanos(env, argv[2], &at) ||
      (argc > 3 && (napi_typeof(env, argv[3], &type) != napi_ok ||
                    (type != napi_undefined && !nanos(env, argv[3], &latest)))))
    return throw_type(env, "send takes a frame (Uint8Array of 14 to 65536 bytes), an interface index, a time, a latest time");
  uint8_t *frame = malloc(length);
  if (!frame) return throw_errno(env, "malloc", ENOMEM);
  memcpy(frame, data, length);

  pthread_mutex_lock(&t->mutex);
  slot *s = first(t, FREE);
  uint32_t number = t->tickets;
  if (s) {
    t->tickets++;
    *s = (slot){.state = WAITING, .ticket = number, .at = at, .latest = latest, .length = length, .frame = frame};
    s->to = (struct sockaddr_ll){.sll_family = AF_PACKET, .sll_ifindex = (int)ifindex, .sll_halen = ETH_ALEN};
    memcpy(&s->to.sll_protocol, frame + 12, 2);
    memcpy(s->to.sll_addr, frame, ETH_ALEN);
    pthread_cond_signal(&t->changed);
  }
  pthread_mutex_unlock(&t->mutex);
  if (!s) {
    free(frame);
    return throw_errno(env, "send", ENOBUFS);
  }
  return napi_create_uint32(env, number, &ticket) == napi_ok ? ticket : NULL;
}

/* True where the frame had not left; nothing is heard of it any more. */
static napi_value transmitter_cancel(napi_env env, napi_callback_info info) {
  size_t argc = 1;
  napi_value argv[1], out;
  uint32_t ticket;
  watch *w = watch_this(env, info, transmitter_readable, &argc, argv);
  if (!w) return NULL;
  transmitter *t = (transmitter *)w;
  if (argc < 1 || !u32_of(env, argv[0], &ticket))
    return throw_type(env, "cancel takes what send answered");
  bool found = false;
  pthread_mutex_lock(&t->mutex);
  for (slot *s = t->slots; s < t->slots + SLOTS && !found; s++)
    if (s->state == WAITING && s->ticket == ticket) {
      vacate(s);
      found = true;
    }
  pthread_mutex_unlock(&t->mutex);
  return napi_get_boolean(env, found, &out) == napi_ok ? out : NULL;
}

/* The locks between the two threads. 0 or an errno. */
static int prepare(transmitter *t) {
  pthread_mutexattr_t mutex;
  pthread_condattr_t condition;
  int error = pthread_mutexattr_init(&mutex);
  if (error) return error;
  /* A JavaScript thread that lost its CPU inside the lock gets it back at the waiting thread's priority. */
  pthread_mutexattr_setprotocol(&mutex, PTHREAD_PRIO_INHERIT);
  error = pthread_mutex_init(&t->mutex, &mutex);
  if (error) error = pthread_mutex_init(&t->mutex, NULL); /* a kernel without such futexes */
  pthread_mutexattr_destroy(&mutex);
  if (error) return error;
  error = pthread_condattr_init(&condition);
  if (!error) {
    error = pthread_condattr_setclock(&condition, CLOCK_MONOTONIC);
    if (!error) error = pthread_cond_init(&t->changed, &condition);
    pthread_condattr_destroy(&condition);
  }
  if (error) pthread_mutex_destroy(&t->mutex);
  return error;
}

/* Starts the thread, deaf to the signals that are Node's. 0 or an errno. */
static int start(transmitter *t) {
  pthread_attr_t attributes;
  sigset_t all, ours;
  int error = pthread_attr_init(&attributes);
  if (error) return error;
  pthread_attr_setstacksize(&attributes, STACK); /* refused where too small: then it is the default */
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &ours);
  error = pthread_create(&t->thread, &attributes, run, t);
  pthread_sigmask(SIG_SETMASK, &ours, NULL);
  pthread_attr_destroy(&attributes);
  t->running = !error;
  return error;
}

napi_value transmitter_open(napi_env env, napi_callback_info info) {
  static const char *const names[CALLBACKS] = {"onSent", "onFailed"};
  static const napi_property_descriptor methods[] = {METHOD("send", transmitter_send),
                                                     METHOD("cancel", transmitter_cancel)};
  size_t argc = 1;
  napi_value argv[1], object, realtime;
  uint32_t priority = 0;
  if (napi_get_cb_info(env, info, &argc, argv, NULL, NULL) != napi_ok || !option_u32(env, argv[0], "priority", &priority))
    return NULL;
  if (priority > 99) return throw_type(env, "a real-time priority is 1 to 99, or 0 for none");

  transmitter *t = calloc(1, sizeof *t);
  if (!t) return throw_errno(env, "calloc", ENOMEM);
  int fd = -1, error = prepare(t);
  const char *call = "pthread_mutex_init";
  if (error) goto fail;
  call = "socket";
  t->socket = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0); /* protocol 0 hears nothing */
  if (t->socket < 0) goto fail_errno;
  /* A comfort: without it every time that comes back is the reading before the call. */
  const uint32_t stamps = SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_OPT_TSONLY;
  setsockopt(t->socket, SOL_SOCKET, SO_TIMESTAMPING, &stamps, sizeof stamps);
  call = "eventfd";
  fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (fd < 0) goto fail_socket;
  t->watch.readable = transmitter_readable;
  t->watch.closing = transmitter_closing;
  object = watch_open(env, &t->watch, fd, argv[0], names, methods, sizeof methods / sizeof methods[0]);
  if (!object) return NULL;

  /* The thread waits for the lock, and then knows. */
  pthread_mutex_lock(&t->mutex);
  error = start(t);
  const struct sched_param wanted = {.sched_priority = (int)priority};
  t->realtime = !error && priority > 0 && pthread_setschedparam(t->thread, SCHED_FIFO, &wanted) == 0;
  bool got = t->realtime;
  pthread_mutex_unlock(&t->mutex);
  if (error) {
    watch_close(&t->watch);
    return throw_errno(env, "pthread_create", error);
  }
  if (napi_get_boolean(env, got, &realtime) != napi_ok ||
      napi_set_named_property(env, object, "realtime", realtime) != napi_ok) {
    watch_close(&t->watch);
    return NULL;
  }
  return object;

fail_socket:
  error = errno;
  close(t->socket);
  errno = error;
fail_errno:
  error = errno;
  pthread_cond_destroy(&t->changed);
  pthread_mutex_destroy(&t->mutex);
fail:
  free(t);
  return throw_errno(env, call, error);
}
