/* The shim's frame: registration, errors, arguments, the life of a watched descriptor. */
#include "shim.h"

#include <errno.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"

/* glibc's strerrorname_np does not exist in musl, so the names that these sockets can meet stand here. */
#define NAMES(X)                                                                                                       \
  X(EPERM) X(ENOENT) X(EINTR) X(EIO) X(ENXIO) X(E2BIG) X(EBADF) X(EAGAIN) X(ENOMEM) X(EACCES) X(EFAULT) X(EBUSY)       \
  X(EEXIST) X(ENODEV) X(ENOTDIR) X(EISDIR) X(EINVAL) X(ENFILE) X(EMFILE) X(ENOSPC) X(EROFS) X(EPIPE) X(ERANGE)         \
  X(ENAMETOOLONG) X(ENOSYS) X(ELOOP) X(EPROTO) X(EOVERFLOW) X(ENOTSOCK) X(EDESTADDRREQ) X(EMSGSIZE) X(EPROTOTYPE)      \
  X(ENOPROTOOPT) X(EPROTONOSUPPORT) X(ESOCKTNOSUPPORT) X(EOPNOTSUPP) X(EAFNOSUPPORT) X(EADDRINUSE) X(EADDRNOTAVAIL)    \
  X(ENETDOWN) X(ENETUNREACH) X(ECONNABORTED) X(ECONNRESET) X(ENOBUFS) X(EISCONN) X(ENOTCONN) X(ETIMEDOUT)              \
  X(ECONNREFUSED) X(EHOSTUNREACH) X(EALREADY) X(EINPROGRESS) X(ETIME)

const char *errno_name(int error) {
  switch (error) {
#define CASE(name) case name: return #name;
    NAMES(CASE)
#undef CASE
  }
  return "EUNKNOWN";
}

napi_value make_error(napi_env env, const char *syscall, int error, const char *explanation) {
  char text[512];
  snprintf(text, sizeof text, "%s: %s (%s)", syscall, explanation, errno_name(error));
  napi_value code, message, object, number, name;
  if (napi_create_string_utf8(env, errno_name(error), NAPI_AUTO_LENGTH, &code) == napi_ok &&
      napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &message) == napi_ok &&
      napi_create_error(env, code, message, &object) == napi_ok &&
      napi_create_int32(env, error, &number) == napi_ok &&
      napi_set_named_property(env, object, "errno", number) == napi_ok &&
      napi_create_string_utf8(env, syscall, NAPI_AUTO_LENGTH, &name) == napi_ok &&
      napi_set_named_property(env, object, "syscall", name) == napi_ok)
    return object;
  return NULL;
}

napi_value throw_errno(napi_env env, const char *syscall, int error) {
  napi_value object = make_error(env, syscall, error, strerror(error));
  if (object) napi_throw(env, object);
  return NULL;
}

napi_value throw_type(napi_env env, const char *message) {
  napi_throw_type_error(env, NULL, message);
  return NULL;
}

bool u32_of(napi_env env, napi_value value, uint32_t *out) {
  double number; /* napi_get_value_uint32 would make 5 of 4294967301, and 0 of NaN */
  if (napi_get_value_double(env, value, &number) != napi_ok || !(number >= 0 && number <= UINT32_MAX)) return false;
  *out = (uint32_t)number;
  return *out == number;
}

/* False where there is no such property; with a NULL `out` and an exception pending where it cannot be read. */
static bool option(napi_env env, napi_value object, const char *name, napi_value *out) {
  napi_valuetype type;
  *out = NULL;
  if (napi_typeof(env, object, &type) != napi_ok || type != napi_object) {
    throw_type(env, "the options have to be an object");
    return false;
  }
  if (napi_get_named_property(env, object, name, out) == napi_ok && napi_typeof(env, *out, &type) == napi_ok)
    return type != napi_undefined;
  *out = NULL;
  return false;
}

static bool option_wrong(napi_env env, const char *name, const char *wanted) {
  char text[64];
  snprintf(text, sizeof text, "%s has to be %s", name, wanted);
  throw_type(env, text);
  return false;
}

bool option_u32(napi_env env, napi_value object, const char *name, uint32_t *out) {
  napi_value value;
  if (!option(env, object, name, &value)) return value != NULL;
  return u32_of(env, value, out) || option_wrong(env, name, "a whole number, 0 to 4294967295");
}

bool option_bool(napi_env env, napi_value object, const char *name, bool *out) {
  napi_value value;
  if (!option(env, object, name, &value)) return value != NULL;
  return napi_get_value_bool(env, value, out) == napi_ok || option_wrong(env, name, "true or false");
}

bool option_array(napi_env env, napi_value object, const char *name, napi_value *out) {
  bool array = false;
  if (!option(env, object, name, out)) {
    bool absent = *out != NULL;
    *out = NULL;
    return absent;
  }
  return (napi_is_array(env, *out, &array) == napi_ok && array) || option_wrong(env, name, "an array");
}

bool option_function(napi_env env, napi_value object, const char *name, napi_value *out) {
  napi_valuetype type;
  if (option(env, object, name, out) && napi_typeof(env, *out, &type) == napi_ok && type == napi_function) return true;
  return *out != NULL && option_wrong(env, name, "a function");
}

bool text_of(napi_env env, napi_value value, char *text, size_t size, size_t *length) {
  return napi_get_value_string_utf8(env, value, NULL, 0, length) == napi_ok && *length < size &&
         napi_get_value_string_utf8(env, value, text, size, length) == napi_ok && strlen(text) == *length;
}

bool bytes_of(napi_env env, napi_value value, uint8_t **data, size_t *length) {
  bool typed = false;
  if (napi_is_typedarray(env, value, &typed) != napi_ok || !typed) return false;
  napi_typedarray_type type;
  if (napi_get_typedarray_info(env, value, &type, length, (void **)data, NULL, NULL) != napi_ok) return false;
  return type == napi_uint8_array && (*data != NULL || *length == 0);
}

/* ---- the life of a watch ---- */

static void let_go(watch *w) {
  if (--w->holders > 0) return;
  free(w);
}

static void on_uv_closed(uv_handle_t *poll) {
  watch *w = uv_handle_get_data(poll);
  free(poll);
  w->poll = NULL;
  if (w->hook) napi_remove_async_cleanup_hook(w->hook);
  w->hook = NULL;
  let_go(w);
}

static void on_timer_closed(uv_handle_t *timer) {
  watch *w = uv_handle_get_data(timer);
  free(timer);
  w->timer = NULL;
  let_go(w);
}

void watch_close(watch *w) {
  if (w->closed) return;
  w->closed = true;
  if (w->closing) w->closing(w);
  if (w->poll) {
    uv_poll_stop(w->poll);
    uv_close(w->poll, on_uv_closed);
  }
  /* libuv lets go of it first: what was closed last. */
  if (w->timer) uv_close(w->timer, on_timer_closed);
  if (w->fd >= 0) close(w->fd);
  w->fd = -1;
  if (!w->poll && w->hook) {
    napi_remove_async_cleanup_hook(w->hook);
    w->hook = NULL;
  }
  for (int i = 0; i < CALLBACKS; i++)
    if (w->callbacks[i]) napi_delete_reference(w->env, w->callbacks[i]);
  if (w->self) napi_delete_reference(w->env, w->self);
  if (w->context) napi_async_destroy(w->env, w->context);
  memset(w->callbacks, 0, sizeof w->callbacks);
  w->self = NULL;
  w->context = NULL;
}

static void on_collected(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  watch_close(data); /* only an object whose opening failed half-way is collected while open */
  let_go(data);
}

/* The environment goes (process exit, worker ended): close, and hold it until libuv has let go of the handle. */
static void on_teardown(napi_async_cleanup_hook_handle hook, void *data) {
  (void)hook;
  watch_close(data);
}

static void on_poll(uv_handle_t *poll, int status, int events) {
  (void)events;
  watch *w = uv_handle_get_data(poll);
  if (w->closed) return;
  int error = 0;
  if (status < 0) {
    /* libuv stops polling at POLLERR, which for these sockets only means that an error waits to be fetched. */
    socklen_t length = sizeof error;
    if (getsockopt(w->fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0) error = errno;
  }
  napi_handle_scope scope;
  if (napi_open_handle_scope(w->env, &scope) != napi_ok) return;
  w->holders++; /* a callback may close the watch */
  w->readable(w, error);
  if (status < 0 && !w->closed) uv_poll_start(w->poll, UV_READABLE, on_poll);
  napi_close_handle_scope(w->env, scope);
  let_go(w);
}

static void on_rested(uv_handle_t *timer) {
  watch *w = uv_handle_get_data(timer);
  if (!w->closed) uv_poll_start(w->poll, UV_READABLE, on_poll);
}

void watch_rest(watch *w, uint64_t ms) {
  if (w->closed) return;
  if (!w->timer) {
    uv_loop_t *loop;
    if (napi_get_uv_event_loop(w->env, &loop) != napi_ok) return;
    uv_handle_t *timer = calloc(1, uv_handle_size(UV_TIMER));
    if (!timer || uv_timer_init(loop, timer) != 0) {
      free(timer);
      return;
    }
    w->timer = timer;
    w->holders++; /* libuv's */
    uv_handle_set_data(timer, w);
  }
  if (uv_timer_start(w->timer, on_rested, ms, 0) == 0) uv_poll_stop(w->poll);
}

bool watch_call(watch *w, int which, size_t argc, const napi_value *argv) {
  napi_value self, function;
  if (w->closed || napi_get_reference_value(w->env, w->self, &self) != napi_ok ||
      napi_get_reference_value(w->env, w->callbacks[which], &function) != napi_ok)
    return false;
  if (napi_make_callback(w->env, w->context, self, function, argc, argv, NULL) == napi_pending_exception) {
    napi_value thrown;
    if (napi_get_and_clear_last_exception(w->env, &thrown) == napi_ok) napi_fatal_exception(w->env, thrown);
  }
  return !w->closed;
}

bool watch_report(watch *w, int which, int error) {
  napi_value name;
  if (napi_create_string_utf8(w->env, errno_name(error), NAPI_AUTO_LENGTH, &name) != napi_ok) return !w->closed;
  return watch_call(w, which, 1, &name);
}

static const napi_type_tag TAG = {0x7830746174613662ULL, 0x6c345f7368696d31ULL};

watch *watch_this(napi_env env, napi_callback_info info, void (*readable)(watch *, int), size_t *argc,
                  napi_value *argv) {
  napi_value self;
  size_t none = 0;
  watch *w = NULL;
  bool ours = false;
  if (napi_get_cb_info(env, info, argc ? argc : &none, argv, &self, NULL) != napi_ok ||
      napi_check_object_type_tag(env, self, &TAG, &ours) != napi_ok || !ours ||
      napi_unwrap(env, self, (void **)&w) != napi_ok || (readable && w->readable != readable)) {
    throw_type(env, "called on an object that is not this kind of socket");
    return NULL;
  }
  if (w->closed) {
    throw_errno(env, "socket", EBADF);
    return NULL;
  }
  return w;
}

static napi_value method_close(napi_env env, napi_callback_info info) {
  napi_value self;
  size_t none = 0;
  watch *w = NULL;
  bool ours = false;
  if (napi_get_cb_info(env, info, &none, NULL, &self, NULL) == napi_ok &&
      napi_check_object_type_tag(env, self, &TAG, &ours) == napi_ok && ours &&
      napi_unwrap(env, self, (void **)&w) == napi_ok)
    watch_close(w); /* twice is fine */
  return NULL;
}

static napi_value method_ref(napi_env env, napi_callback_info info) {
  watch *w = watch_this(env, info, NULL, NULL, NULL);
  if (w && w->poll) uv_ref(w->poll);
  return NULL;
}

static napi_value method_unref(napi_env env, napi_callback_info info) {
  watch *w = watch_this(env, info, NULL, NULL, NULL);
  if (w && w->poll) uv_unref(w->poll);
  return NULL;
}

/* Gives the watch its poll handle, not yet started. False when that fails, with or without an exception. */
static bool poll_init(watch *w) {
  uv_loop_t *loop;
  if (napi_get_uv_event_loop(w->env, &loop) != napi_ok) return false;
  uv_handle_t *poll = calloc(1, uv_handle_size(UV_POLL));
  int error = poll ? -uv_poll_init(loop, poll, w->fd) : ENOMEM;
  if (error) { /* libuv has not taken the handle */
    free(poll);
    throw_errno(w->env, "epoll", error);
    return false;
  }
  w->poll = poll;
  w->holders++; /* libuv's */
  uv_handle_set_data(poll, w);
  return true;
}

napi_value watch_open(napi_env env, watch *w, int fd, napi_value options, const char *const names[CALLBACKS],
                      const napi_property_descriptor *methods, size_t method_count) {
  static const napi_property_descriptor common[] = {
      METHOD("close", method_close), METHOD("ref", method_ref), METHOD("unref", method_unref)};
  napi_value object = NULL, label, function;
  w->env = env;
  w->fd = fd;
  w->holders = 1; /* this function, then the object's finalizer */

  for (int i = 0; i < CALLBACKS && names[i]; i++) {
    if (!option_function(env, options, names[i], &function)) goto fail;
    if (napi_create_reference(env, function, 1, &w->callbacks[i]) != napi_ok) goto fail;
  }
  if (napi_create_object(env, &object) != napi_ok ||
      napi_define_properties(env, object, sizeof common / sizeof common[0], common) != napi_ok ||
      napi_define_properties(env, object, method_count, methods) != napi_ok ||
      napi_create_string_utf8(env, "x0shim", NAPI_AUTO_LENGTH, &label) != napi_ok ||
      napi_async_init(env, object, label, &w->context) != napi_ok ||
      napi_create_reference(env, object, 1, &w->self) != napi_ok || (w->readable && !poll_init(w)) ||
      napi_add_async_cleanup_hook(env, on_teardown, w, &w->hook) != napi_ok)
    goto fail;
  int error = w->poll ? uv_poll_start(w->poll, UV_READABLE, on_poll) : 0;
  if (error) {
    throw_errno(env, "epoll", -error);
    goto fail;
  }
  if (napi_wrap(env, object, w, on_collected, NULL, NULL) != napi_ok) goto fail;
  /* From here on the finalizer is the holder. */
  if (napi_type_tag_object(env, object, &TAG) != napi_ok) {
    watch_close(w);
    throw_errno(env, "napi", ENOMEM);
    return NULL;
  }
  return object;

fail:
  watch_close(w);
  let_go(w);
  bool pending = false;
  if (napi_is_exception_pending(env, &pending) == napi_ok && !pending) throw_errno(env, "napi", ENOMEM);
  return NULL;
}

static napi_value now(napi_env env, napi_callback_info info) {
  (void)info;
  napi_value out;
  return napi_create_double(env, (double)monotonic_ns(), &out) == napi_ok ? out : NULL;
}

#ifndef X0_BPF
static const char *libbpf_obstacle(void) { return "the shim was built without libbpf's headers (Debian: libbpf-dev)"; }

static napi_value bpf_open(napi_env env, napi_callback_info info) {
  (void)info;
  napi_throw_error(env, "ENOSYS", libbpf_obstacle());
  return NULL;
}

static napi_value bpf_statistics(napi_env env, napi_callback_info info) { return bpf_open(env, info); }
#endif

/* Why openBpf cannot work here, a sentence; null where it can. */
static napi_value bpf_obstacle(napi_env env, napi_callback_info info) {
  (void)info;
  napi_value out;
  const char *why = libbpf_obstacle();
  napi_status status = why ? napi_create_string_utf8(env, why, NAPI_AUTO_LENGTH, &out) : napi_get_null(env, &out);
  return status == napi_ok ? out : NULL;
}

NAPI_MODULE_INIT() {
#ifdef __GLIBC__
  /* Few threads, that seldom allocate: an arena for each costs a router some MiB. (musl has one for all.) */
  mallopt(M_ARENA_MAX, 1);
#endif
  const char *poll = uv_handle_type_name(UV_POLL), *timer = uv_handle_type_name(UV_TIMER);
  if (!poll || strcmp(poll, "poll") != 0 || uv_handle_size(UV_POLL) == (size_t)-1 || !timer ||
      strcmp(timer, "timer") != 0 || uv_handle_size(UV_TIMER) == (size_t)-1) {
    napi_throw_error(env, "E_UV", "this Node's libuv numbers its handles differently from libuv 1");
    return NULL;
  }
  const napi_property_descriptor all[] = {
      METHOD("openNetlink", netlink_open),
      METHOD("openPacket", packet_open),
      METHOD("openTransmitter", transmitter_open),
      METHOD("listenUnix", unix_listen),
      METHOD("unixOwner", unix_owner),
      METHOD("lives", unix_lives),
      METHOD("now", now),
      METHOD("openBpf", bpf_open),
      METHOD("bpfStatistics", bpf_statistics),
      METHOD("bpfObstacle", bpf_obstacle),
  };
  if (napi_define_properties(env, exports, sizeof all / sizeof all[0], all) != napi_ok) return NULL;
  return exports;
}
