/*
 * A listening unix socket (man 7 unix) on Node's loop that says who calls: Node's own server keeps the peer's
 * credentials to itself. A path left over by a dead process is taken over, one that somebody listens on is not.
 *
 * The number of a process says who calls for as long as that process lives; after that it may be another's. Who wants to
 * know more of a caller than SO_PEERCRED says is handed a pidfd with it, which stands for that one process only.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "shim.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* since Linux 6.5; of all that OpenWrt runs on */
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

enum { ON_CONNECTION, ON_ERROR };
enum { PER_WAKE_UP = 32, BACKLOG = 64, REST_MS = 100 };

typedef struct {
  watch watch;
  int spare; /* given up for a moment when descriptors run out, so that the caller can be turned away */
  dev_t device;
  ino_t inode;
  bool pidfds;
  bool by_number; /* as before Linux 6.5 */
  char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
} listener;

/* Whether it has not ended: a zombie has. */
static bool lives(int pidfd) {
  struct pollfd one = {.fd = pidfd, .events = POLLIN};
  int ready;
  do
    ready = poll(&one, 1, 0);
  while (ready < 0 && errno == EINTR);
  return ready == 0;
}

/* When a process began, in ticks since the boot (man 5 proc_pid_stat, 22); false where it is not to be seen. */
static bool began(pid_t pid, unsigned long long *ticks) {
  char path[32], text[1024];
  snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  ssize_t length = read(fd, text, sizeof text - 1);
  close(fd);
  if (length <= 0) return false;
  text[length] = 0;
  char *at = strrchr(text, ')'); /* the name of a program may hold anything */
  for (int field = 2; at && field < 22; field++) at = strchr(at + 1, ' ');
  return at && sscanf(at, "%llu", ticks) == 1;
}

enum { GONE = -1, NONE_HERE = -2 };

/* The pidfd of who is at the other end. GONE where that process has ended, NONE_HERE where this kernel has none of it. */
static int peer_pidfd(const listener *l, int fd, pid_t pid) {
  int pidfd = GONE;
  socklen_t length = sizeof pidfd;
  if (!l->by_number) {
    if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &length) == 0) return pidfd;
    if (errno != ENOPROTOOPT) return GONE;
  }
  if (pid <= 0) return NONE_HERE; /* of another PID namespace */
  /* By its number: it is that process for certain from here on, and was just now. */
  unsigned long long before, after;
  if (!began(pid, &before)) return GONE;
  pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
  if (pidfd < 0) return errno == ENOSYS ? NONE_HERE : GONE;
  if (began(pid, &after) && before == after && lives(pidfd)) return pidfd;
  close(pidfd);
  return GONE;
}

static void unix_readable(watch *w, int error) {
  listener *l = (listener *)w;
  if (error && !watch_report(w, ON_ERROR, error)) return;
  for (int i = 0; i < PER_WAKE_UP; i++) {
    int fd = accept4(w->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      if (errno == EAGAIN) return;
      int failed = errno;
      if (failed == EMFILE || failed == ENFILE) {
        /* Somebody else may have taken its place when it was given up last. */
        if (l->spare < 0) l->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (l->spare >= 0) {
          close(l->spare);
          fd = accept4(w->fd, NULL, NULL, SOCK_CLOEXEC);
          if (fd >= 0) close(fd);
          l->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
        }
      }
      if (fd < 0) watch_rest(w, REST_MS); /* who calls still waits */
      watch_report(w, ON_ERROR, failed);
      return;
    }
    struct ucred peer;
    socklen_t length = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) {
      close(fd); /* nobody is let in whose name is not known */
      continue;
    }
    napi_handle_scope scope;
    if (napi_open_handle_scope(w->env, &scope) != napi_ok) {
      close(fd);
      return;
    }
    napi_value argv[5];
    bool open = true;
    int pidfd = l->pidfds ? peer_pidfd(l, fd, peer.pid) : NONE_HERE;
    if (napi_create_int32(w->env, fd, &argv[0]) == napi_ok && napi_create_int32(w->env, peer.pid, &argv[1]) == napi_ok &&
        napi_create_uint32(w->env, peer.uid, &argv[2]) == napi_ok &&
        napi_create_uint32(w->env, peer.gid, &argv[3]) == napi_ok &&
        napi_create_int32(w->env, pidfd, &argv[4]) == napi_ok)
      open = watch_call(w, ON_CONNECTION, 5, argv); /* the descriptors are the callback's from here on */
    else {
      close(fd);
      if (pidfd >= 0) close(pidfd);
    }
    napi_close_handle_scope(w->env, scope);
    if (!open) return;
  }
}

static void unix_closing(watch *w) {
  listener *l = (listener *)w;
  struct stat now;
  if (l->spare >= 0) close(l->spare);
  l->spare = -1;
  if (l->inode && lstat(l->path, &now) == 0 && now.st_dev == l->device && now.st_ino == l->inode) unlink(l->path);
}

/* Removes a socket that nobody listens on. 0, or the errno that says why the path stays. */
static int remove_stale(const struct sockaddr_un *at) {
  struct stat found;
  if (lstat(at->sun_path, &found) != 0) return errno == ENOENT ? 0 : errno;
  if (!S_ISSOCK(found.st_mode)) return EEXIST;
  int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (probe < 0) return errno;
  int error = connect(probe, (const struct sockaddr *)at, sizeof *at) == 0 ? 0 : errno;
  close(probe);
  if (error != ECONNREFUSED) return error == 0 || error == EAGAIN ? EADDRINUSE : error;
  return unlink(at->sun_path) == 0 || errno == ENOENT ? 0 : errno;
}

napi_value unix_listen(napi_env env, napi_callback_info info) {
  static const char *const names[CALLBACKS] = {"onConnection", "onError"};
  size_t argc = 1, length;
  napi_value argv[1], path;
  napi_valuetype type;
  uint32_t mode = 0660;
  bool pidfds = false, by_number = false;
  struct sockaddr_un at = {.sun_family = AF_UNIX};
  if (napi_get_cb_info(env, info, &argc, argv, NULL, NULL) != napi_ok || argc < 1 ||
      napi_typeof(env, argv[0], &type) != napi_ok || type != napi_object ||
      napi_get_named_property(env, argv[0], "path", &path) != napi_ok ||
      napi_get_value_string_utf8(env, path, NULL, 0, &length) != napi_ok || length == 0)
    return throw_type(env, "listenUnix takes { path, mode, onConnection, onError }");
  if (length >= sizeof at.sun_path) return throw_errno(env, "bind", ENAMETOOLONG);
  if (!text_of(env, path, at.sun_path, sizeof at.sun_path, &length))
    return throw_type(env, "a path holds no zero");
  if (!option_u32(env, argv[0], "mode", &mode) || !option_bool(env, argv[0], "pidfds", &pidfds) ||
      !option_bool(env, argv[0], "byNumber", &by_number))
    return NULL;
  mode &= 0777;

  int error = remove_stale(&at);
  if (error) return throw_errno(env, "bind", error);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return throw_errno(env, "socket", errno);
  listener *l = calloc(1, sizeof *l);
  if (!l) {
    close(fd);
    return throw_errno(env, "calloc", ENOMEM);
  }
  struct stat made;
  const char *call = "bind";
  l->spare = -1;
  l->pidfds = pidfds;
  l->by_number = by_number;
  /* The mode stands before the path exists, so that at no moment is it wider; umask may have narrowed it. */
  if (fchmod(fd, mode) != 0 || bind(fd, (struct sockaddr *)&at, sizeof at) != 0) goto fail;
  memcpy(l->path, at.sun_path, sizeof l->path);
  call = "chmod";
  if (lstat(at.sun_path, &made) != 0 || chmod(at.sun_path, mode) != 0) goto fail_bound;
  call = "listen";
  if (listen(fd, BACKLOG) != 0) goto fail_bound;
  l->device = made.st_dev;
  l->inode = made.st_ino;
  l->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
  l->watch.readable = unix_readable;
  l->watch.closing = unix_closing;
  return watch_open(env, &l->watch, fd, argv[0], names, NULL, 0);

fail_bound:
  error = errno;
  unlink(at.sun_path);
  errno = error;
fail:
  error = errno;
  close(fd);
  free(l);
  return throw_errno(env, call, error);
}

/* Whether the process of a pidfd has not ended. */
napi_value unix_lives(napi_env env, napi_callback_info info) {
  size_t argc = 1;
  napi_value argv[1], answer;
  uint32_t pidfd;
  if (napi_get_cb_info(env, info, &argc, argv, NULL, NULL) != napi_ok || argc < 1 || !u32_of(env, argv[0], &pidfd) ||
      pidfd > INT32_MAX)
    return throw_type(env, "lives takes a pidfd");
  return napi_get_boolean(env, lives((int)pidfd), &answer) == napi_ok ? answer : NULL;
}

/* The uid that listens on a path, or on an abstract name (which begins with NUL): as it was when listen() was called. */
napi_value unix_owner(napi_env env, napi_callback_info info) {
  size_t argc = 1, length;
  napi_value argv[1], owner;
  struct sockaddr_un at = {.sun_family = AF_UNIX};
  struct ucred peer;
  socklen_t size = sizeof peer;
  if (napi_get_cb_info(env, info, &argc, argv, NULL, NULL) != napi_ok || argc < 1 ||
      napi_get_value_string_utf8(env, argv[0], NULL, 0, &length) != napi_ok || length == 0)
    return throw_type(env, "unixOwner takes a path, or NUL and a name");
  if (length >= sizeof at.sun_path) return throw_errno(env, "connect", ENAMETOOLONG);
  napi_get_value_string_utf8(env, argv[0], at.sun_path, sizeof at.sun_path, &length);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return throw_errno(env, "socket", errno);
  int error = 0;
  if (connect(fd, (struct sockaddr *)&at, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)) != 0 ||
      getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
    error = errno;
  close(fd);
  if (error) return throw_errno(env, "connect", error);
  return napi_create_uint32(env, peer.uid, &owner) == napi_ok ? owner : NULL;
}
