/*
 * The few functions of libuv that the shim uses, as libuv 1.x has had them since 1.19. Node exports them; its headers
 * are not needed, because a handle is only ever an opaque block of uv_handle_size() bytes. That UV_POLL and UV_TIMER
 * still name these handles is checked when the shim is loaded (uv_handle_type_name).
 */
#ifndef X0_UV_H
#define X0_UV_H

#include <stddef.h>
#include <stdint.h>

typedef struct uv_loop_s uv_loop_t;
typedef struct uv_handle_s uv_handle_t; /* stands for uv_poll_t and uv_timer_t as well */

enum { UV_POLL = 8, UV_TIMER = 13 };
enum { UV_READABLE = 1 };

size_t uv_handle_size(int type);
const char *uv_handle_type_name(int type);
void *uv_handle_get_data(const uv_handle_t *handle);
void uv_handle_set_data(uv_handle_t *handle, void *data);
int uv_poll_init(uv_loop_t *loop, uv_handle_t *poll, int fd);
int uv_poll_start(uv_handle_t *poll, int events, void (*callback)(uv_handle_t *poll, int status, int events));
int uv_poll_stop(uv_handle_t *poll);
int uv_timer_init(uv_loop_t *loop, uv_handle_t *timer);
int uv_timer_start(uv_handle_t *timer, void (*callback)(uv_handle_t *timer), uint64_t ms, uint64_t repeat_ms);
void uv_close(uv_handle_t *handle, void (*callback)(uv_handle_t *handle));
void uv_ref(uv_handle_t *handle);
void uv_unref(uv_handle_t *handle);

#endif
