/* libbpf, found when it is first needed, and what it says. */
#include "libbpf.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LOG_MAX = 1 << 20 };

libbpf_calls libbpf;
static char obstacle[256];
static pthread_once_t once = PTHREAD_ONCE_INIT;
static __thread bpf_log *listener;

/* One print function a process, so each thread names the log that its words go to. */
static int print(enum libbpf_print_level level, const char *format, va_list arguments) {
  bpf_log *log = listener;
  va_list again;
  if (!log || level > LIBBPF_WARN) return 0;
  va_copy(again, arguments);
  int length = vsnprintf(NULL, 0, format, again);
  va_end(again);
  if (length <= 0) return 0;
  char *text = realloc(log->text, log->length + (size_t)length + 1);
  if (!text) return 0;
  vsnprintf(text + log->length, (size_t)length + 1, format, arguments);
  KERNEL_WROTE(text + log->length, (size_t)length + 1);
  log->text = text;
  log->length += (size_t)length;
  if (log->length > LOG_MAX) { /* the end is where the verifier says what it minds */
    memmove(text, text + log->length - LOG_MAX, LOG_MAX + 1);
    log->length = LOG_MAX;
  }
  return 0;
}

static void load(void) {
  void *library = dlopen("libbpf.so.1", RTLD_NOW | RTLD_LOCAL); /* stays for the life of the process */
  if (!library) {
    snprintf(obstacle, sizeof obstacle, "libbpf cannot be loaded: %s", dlerror());
    return;
  }
#define FIND(name)                                                                                                     \
  if (!(libbpf.name = (__typeof__(libbpf.name))dlsym(library, #name))) {                                               \
    snprintf(obstacle, sizeof obstacle, "libbpf.so.1 is older than 1.1: it lacks %s", #name);                          \
    return;                                                                                                            \
  }
  LIBBPF(FIND)
#undef FIND
  libbpf.libbpf_set_print(print);
}

const char *libbpf_obstacle(void) {
  pthread_once(&once, load);
  return obstacle[0] ? obstacle : NULL;
}

void libbpf_listen(bpf_log *log) { listener = log; }

napi_value throw_libbpf(napi_env env, const char *call, int error, bpf_log *log) {
  char text[128];
  napi_value object, said;
  libbpf.libbpf_strerror(error, text, sizeof text);
  object = make_error(env, call, error, text);
  if (object && napi_create_string_utf8(env, log->text ? log->text : "", log->length, &said) == napi_ok &&
      napi_set_named_property(env, object, "log", said) == napi_ok)
    napi_throw(env, object);
  free(log->text);
  *log = (bpf_log){0};
  return NULL;
}
