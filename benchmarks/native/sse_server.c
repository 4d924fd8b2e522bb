// A precise OpenAI-compatible SSE server, to measure clients against: it sends when it should, and logs when it did.
//
//   sse_server --ttft-ms 50 --itl-ms 5 [--port 0] [--log FILE] [--tokens-per-chunk 1]
//
// One thread: epoll for sockets, a heap of due times for chunks, CLOCK_MONOTONIC for both. A request's first chunk
// is due --ttft-ms after the last byte of its body was read, each next one --itl-ms after the last was due. With
// --itl-ms 0 a chunk follows as soon as the socket takes it: the rate is then what the client can drain. Bound to
// 127.0.0.1; port 0 lets the system choose. The address is printed once, and SIGTERM ends the server in order.
//
// FILE is CSV, a row per completion, written when it ended or its connection was closed: x_request_id, body_bytes,
// max_tokens, first_byte_s, body_read_s, first_chunk_s, last_chunk_s (seconds of CLOCK_MONOTONIC, which on Linux is
// Python's perf_counter; 0 for never), chunks, late_us (of the latest chunk against its due time), complete.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { READ_SIZE = 1 << 16, EVENTS = 512, MAX_FDS = 1 << 16, ID_SIZE = 96, SEARCHED = 2048 };

typedef struct {
    char *bytes;
    size_t length, capacity;
} Buffer;

typedef struct {
    int fd;
    unsigned generation;  // tells a heap entry of an earlier connection with the same fd
    Buffer in, out;
    int waits_to_write;
    // the request that is read or answered
    size_t head_bytes, body_bytes;  // 0 head bytes: the end of its headers has not come yet
    char id[ID_SIZE];
    int answering, chat, stream;
    long asked, left, chunks;
    double first_byte, body_read, first_chunk, last_chunk, due, late;
} Connection;

typedef struct {
    double due;
    int fd;
    unsigned generation;
} Timer;

static Connection *connections[MAX_FDS];
static struct { Timer *timers; size_t length, capacity; } heap;
static struct { double ttft, itl; long tokens_per_chunk; int port; FILE *log; } options = {.tokens_per_chunk = 1};
static int epoll;
static volatile sig_atomic_t stopped;

static const char *WORDS[] = {" the", " of", " and", " to", " in", " is", " for", " that"};
enum { WORD_COUNT = sizeof WORDS / sizeof *WORDS };

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec * 1e-9;
}

static void fail(const char *what) {
    fprintf(stderr, "sse_server: %s: %s\n", what, strerror(errno));
    exit(1);
}

// ---- buffers

static void reserve(Buffer *buffer, size_t more) {
    if (buffer->length + more <= buffer->capacity) return;
    buffer->capacity = 2 * (buffer->length + more);
    buffer->bytes = realloc(buffer->bytes, buffer->capacity);
    if (!buffer->bytes) fail("memory");
}

static void append(Buffer *buffer, const char *bytes, size_t length) {
    reserve(buffer, length);
    memcpy(buffer->bytes + buffer->length, bytes, length);
    buffer->length += length;
}

static void drop(Buffer *buffer, size_t length) {
    buffer->length -= length;
    memmove(buffer->bytes, buffer->bytes + length, buffer->length);
}

__attribute__((format(printf, 2, 3))) static void print(Buffer *buffer, const char *format, ...) {
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, again);
    va_end(again);
    reserve(buffer, length + 1);
    vsnprintf(buffer->bytes + buffer->length, length + 1, format, arguments);
    va_end(arguments);
    buffer->length += length;
}

// ---- the heap of due times

static void schedule(Connection *connection) {
    if (heap.length == heap.capacity) {
        heap.capacity = heap.capacity ? 2 * heap.capacity : 1024;
        heap.timers = realloc(heap.timers, heap.capacity * sizeof *heap.timers);
        if (!heap.timers) fail("memory");
    }
    size_t place = heap.length++;
    for (; place && heap.timers[(place - 1) / 2].due > connection->due; place = (place - 1) / 2)
        heap.timers[place] = heap.timers[(place - 1) / 2];
    heap.timers[place] = (Timer){connection->due, connection->fd, connection->generation};
}

static Timer take_earliest(void) {
    Timer earliest = heap.timers[0], last = heap.timers[--heap.length];
    size_t place = 0;
    for (size_t child; (child = 2 * place + 1) < heap.length; place = child) {
        if (child + 1 < heap.length && heap.timers[child + 1].due < heap.timers[child].due) child++;
        if (last.due <= heap.timers[child].due) break;
        heap.timers[place] = heap.timers[child];
    }
    heap.timers[place] = last;
    return earliest;
}

// ---- writing

static void watch(Connection *connection, int operation) {
    unsigned events = EPOLLIN | (connection->waits_to_write ? EPOLLOUT : 0);
    struct epoll_event event = {.events = events, .data.fd = connection->fd};
    if (epoll_ctl(epoll, operation, connection->fd, &event)) fail("epoll_ctl");
}

// Send what waits; -1 when the client has gone.
static int flush(Connection *connection) {
    size_t sent = 0;
    while (sent < connection->out.length) {
        ssize_t count = send(connection->fd, connection->out.bytes + sent, connection->out.length - sent, MSG_NOSIGNAL);
        if (count < 0 && errno != EAGAIN) return -1;
        if (count < 0) break;
        sent += count;
    }
    drop(&connection->out, sent);
    int waits = connection->out.length > 0;
    if (waits != connection->waits_to_write) {
        connection->waits_to_write = waits;
        watch(connection, EPOLL_CTL_MOD);
    }
    return 0;
}

static void log_row(const Connection *c, int complete) {
    if (!options.log) return;
    fprintf(options.log, "%s,%zu,%ld,%.9f,%.9f,%.9f,%.9f,%ld,%.1f,%d\n", c->id, c->body_bytes, c->asked, c->first_byte,
            c->body_read, c->first_chunk, c->last_chunk, c->chunks, c->late * 1e6, complete);
}

// Make room for the next request of the connection, which may have been read already.
static void forget_request(Connection *connection) {
    drop(&connection->in, connection->head_bytes + connection->body_bytes);
    connection->answering = 0;
    connection->head_bytes = connection->body_bytes = 0;
    connection->first_byte = connection->in.length ? now() : 0;
}

static void close_connection(Connection *connection) {
    if (connection->answering) log_row(connection, 0);
    connections[connection->fd] = NULL;
    close(connection->fd);
    free(connection->in.bytes);
    free(connection->out.bytes);
    free(connection);
}

// ---- answers

static void print_text(Buffer *buffer, const Connection *connection, long tokens) {
    for (long token = 0; token < tokens; token++) {
        const char *word = WORDS[(connection->left - token) % WORD_COUNT];
        append(buffer, word, strlen(word));
    }
}

// A token is what a space comes before, which is what trie's prompts are made of; close enough for others'.
static long prompt_tokens(const Connection *connection) {
    const char *body = connection->in.bytes + connection->head_bytes;
    long count = 0;
    for (size_t place = 0; place < connection->body_bytes; place++) count += body[place] == ' ';
    return count;
}

static void print_usage(Buffer *buffer, const Connection *connection) {
    long prompt = prompt_tokens(connection), cached = prompt * 9 / 10;
    print(buffer,
          "\"usage\":{\"prompt_tokens\":%ld,\"completion_tokens\":%ld,\"total_tokens\":%ld,"
          "\"prompt_tokens_details\":{\"cached_tokens\":%ld}}",
          prompt, connection->asked, prompt + connection->asked, cached);
}

static void print_opening(Buffer *buffer, const Connection *connection, const char *chat_object) {
    print(buffer, "{\"id\":\"cmpl-1\",\"object\":\"%s\",\"created\":1700000000,\"model\":\"sim\",\"choices\":[",
          connection->chat ? chat_object : "text_completion");
}

static void print_event(Buffer *buffer, const Connection *connection, long tokens) {
    append(buffer, "data: ", 6);
    print_opening(buffer, connection, "chat.completion.chunk");
    print(buffer, "{\"index\":0,%s", connection->chat ? "\"delta\":{" : "");
    print(buffer, connection->chat && !connection->chunks ? "\"role\":\"assistant\"," : "");
    print(buffer, connection->chat ? "\"content\":\"" : "\"text\":\"");
    print_text(buffer, connection, tokens);
    print(buffer, "\"%s,\"logprobs\":null,\"finish_reason\":%s}]}\n\n", connection->chat ? "}" : "",
          tokens == connection->left ? "\"length\"" : "null");
}

static void print_last_event(Buffer *buffer, const Connection *connection) {
    append(buffer, "data: ", 6);
    print_opening(buffer, connection, "chat.completion.chunk");
    append(buffer, "],", 2);
    print_usage(buffer, connection);
    append(buffer, "}\n\n", 3);
}

// One frame of the chunked transfer coding.
static void frame(Buffer *out, const Buffer *payload) {
    print(out, "%zx\r\n", payload->length);
    append(out, payload->bytes, payload->length);
    append(out, "\r\n", 2);
}

static void stream_chunk(Connection *connection) {
    static Buffer event;
    long tokens = connection->left < options.tokens_per_chunk ? connection->left : options.tokens_per_chunk;
    event.length = 0;
    print_event(&event, connection, tokens);
    frame(&connection->out, &event);
    connection->chunks++;
    connection->left -= tokens;
    if (connection->left) return;
    event.length = 0;
    print_last_event(&event, connection);
    frame(&connection->out, &event);
    print(&connection->out, "e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n");
}

static void whole_answer(Connection *connection) {
    static Buffer body;
    body.length = 0;
    print_opening(&body, connection, "chat.completion");
    print(&body, "{\"index\":0,%s", connection->chat ? "\"message\":{\"role\":\"assistant\",\"content\":\"" : "\"text\":\"");
    print_text(&body, connection, connection->left);
    print(&body, "\"%s,\"logprobs\":null,\"finish_reason\":\"length\"}],", connection->chat ? "}" : "");
    print_usage(&body, connection);
    append(&body, "}", 1);
    print(&connection->out, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n", body.length);
    append(&connection->out, body.bytes, body.length);
    connection->chunks = 1;
    connection->left = 0;
}

// What is due now; -1 when the client has gone.
static int answer(Connection *connection) {
    double time = now();
    if (time - connection->due > connection->late) connection->late = time - connection->due;
    if (!connection->chunks) connection->first_chunk = time;
    connection->last_chunk = time;
    if (connection->stream) stream_chunk(connection);
    else whole_answer(connection);
    int gone = flush(connection);
    if (!connection->left) {
        log_row(connection, 1);
        forget_request(connection);
    } else if (options.itl > 0) {
        connection->due += options.itl;
        schedule(connection);
    } else if (!connection->waits_to_write) {
        connection->due = now();
        schedule(connection);
    }
    return gone;
}

// ---- requests

static const char *header(const Connection *connection, const char *name) {
    const char *line = memmem(connection->in.bytes, connection->head_bytes, "\r\n", 2);
    const char *end = connection->in.bytes + connection->head_bytes;
    size_t length = strlen(name);
    for (; line && line + 2 + length < end; line = memmem(line + 2, end - line - 2, "\r\n", 2)) {
        if (strncasecmp(line + 2, name, length) || line[2 + length] != ':') continue;
        const char *value = line + 3 + length;
        return value + strspn(value, " \t");
    }
    return NULL;
}

// What follows a key in the body, sought near both ends first: clients put a long prompt in the middle.
static const char *value_of(const Connection *connection, const char *key) {
    const char *body = connection->in.bytes + connection->head_bytes;
    size_t size = connection->body_bytes, near = size < SEARCHED ? size : SEARCHED, length = strlen(key);
    const char *found = memmem(body + size - near, near, key, length);
    if (!found) found = memmem(body, near, key, length);
    if (!found && size > 2 * near) found = memmem(body, size, key, length);
    return found ? found + length + strspn(found + length, " :") : NULL;
}

static void read_head(Connection *connection, size_t head_bytes) {
    connection->head_bytes = head_bytes;
    const char *length = header(connection, "content-length"), *id = header(connection, "x-request-id");
    connection->body_bytes = length ? strtoul(length, NULL, 10) : 0;
    size_t size = id ? strcspn(id, "\r,") : 0;
    if (size >= ID_SIZE) size = ID_SIZE - 1;
    memcpy(connection->id, id ? id : "", size);
    connection->id[size] = 0;
}

static int list_models(Connection *connection) {
    static const char models[] = "{\"object\":\"list\",\"data\":[{\"id\":\"sim\",\"object\":\"model\",\"owned_by\":\"sim\","
                                 "\"max_model_len\":1048576}]}";
    print(&connection->out, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
          sizeof models - 1, models);
    forget_request(connection);
    return flush(connection);
}

static void begin_answer(Connection *connection) {
    const char *asked = value_of(connection, "\"max_tokens\""), *stream = value_of(connection, "\"stream\"");
    if (!asked) asked = value_of(connection, "\"max_completion_tokens\"");
    long tokens = asked ? strtol(asked, NULL, 10) : 16;
    connection->asked = connection->left = tokens > 0 ? tokens : 1;
    connection->chat = memmem(connection->in.bytes, connection->head_bytes, "/chat/", 6) != NULL;
    connection->stream = stream && !strncmp(stream, "true", 4);
    connection->answering = 1;
    connection->chunks = 0;
    connection->late = connection->first_chunk = connection->last_chunk = 0;
    connection->due = connection->body_read + options.ttft;
    if (connection->stream)
        print(&connection->out, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
                                "Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n");
    else connection->due += options.itl * (connection->asked - 1);
    schedule(connection);
}

// Begin with the request that has been read, if it is whole; -1 when the client has gone or speaks otherwise.
static int take_request(Connection *connection) {
    while (!connection->answering && connection->in.length) {
        if (!connection->head_bytes) {
            const char *end = memmem(connection->in.bytes, connection->in.length, "\r\n\r\n", 4);
            if (!end) return 0;
            read_head(connection, end + 4 - connection->in.bytes);
        }
        if (connection->in.length < connection->head_bytes + connection->body_bytes) return 0;
        connection->body_read = now();
        int get = !strncmp(connection->in.bytes, "GET ", 4);
        if (!get && !connection->body_bytes) return -1;  // neither a completion nor a list of models
        if (get && list_models(connection)) return -1;
        if (!get) {
            begin_answer(connection);
            return flush(connection);
        }
    }
    return 0;
}

static int receive(Connection *connection) {
    for (;;) {
        reserve(&connection->in, READ_SIZE);
        size_t room = connection->in.capacity - connection->in.length;
        ssize_t count = recv(connection->fd, connection->in.bytes + connection->in.length, room, 0);
        if (count == 0 || (count < 0 && errno != EAGAIN)) return -1;
        if (count < 0) break;
        if (!connection->in.length) connection->first_byte = now();
        connection->in.length += count;
        if ((size_t)count < room) break;
    }
    return take_request(connection);
}

static int resume(Connection *connection) {
    if (flush(connection)) return -1;
    if (options.itl == 0 && connection->answering && connection->chunks && !connection->waits_to_write) {
        connection->due = now();
        schedule(connection);
    }
    return 0;
}

// ---- the loop

static int listen_here(void) {
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), yes = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(options.port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, 8192)) fail("bind");
    getsockname(listener, (struct sockaddr *)&address, &size);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    printf("http://127.0.0.1:%d/v1\n", ntohs(address.sin_port));
    fflush(stdout);
    return listener;
}

static void accept_all(int listener) {
    static unsigned generation;
    for (int fd, yes = 1; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
        if (fd >= MAX_FDS) {
            close(fd);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        Connection *connection = calloc(1, sizeof *connection);
        if (!connection) fail("memory");
        connection->fd = fd;
        connection->generation = ++generation;
        connections[fd] = connection;
        watch(connection, EPOLL_CTL_ADD);
    }
}

static void serve(struct epoll_event event) {
    Connection *connection = connections[event.data.fd];
    if (!connection) return;
    int gone = event.events & EPOLLOUT ? resume(connection) : 0;
    if (!gone && event.events & (EPOLLIN | EPOLLHUP | EPOLLERR)) gone = receive(connection);
    if (gone) close_connection(connection);
}

static void answer_due(void) {
    for (double time = now(); heap.length && heap.timers[0].due <= time;) {
        Timer timer = take_earliest();
        Connection *connection = connections[timer.fd];
        if (!connection || connection->generation != timer.generation || !connection->answering) continue;
        if (answer(connection) || take_request(connection)) close_connection(connection);
    }
}

static struct timespec time_to_next(void) {
    double wait = heap.length ? heap.timers[0].due - now() : 1;
    if (wait < 0) wait = 0;
    if (wait >= 1) return (struct timespec){.tv_sec = 1};
    return (struct timespec){.tv_nsec = wait * 1e9};
}

static void stop(int number) {
    (void)number;
    stopped = 1;
}

static void prepare(void) {
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    prctl(PR_SET_TIMERSLACK, 1);
    signal(SIGINT, stop);
    signal(SIGTERM, stop);
    if (options.log)
        fputs("x_request_id,body_bytes,max_tokens,first_byte_s,body_read_s,first_chunk_s,last_chunk_s,chunks,late_us,complete\n",
              options.log);
    if ((epoll = epoll_create1(EPOLL_CLOEXEC)) < 0) fail("epoll");
}

static void read_options(int count, char **words) {
    static const struct option known[] = {
        {"ttft-ms", 1, 0, 't'}, {"itl-ms", 1, 0, 'i'}, {"port", 1, 0, 'p'},
        {"log", 1, 0, 'l'}, {"tokens-per-chunk", 1, 0, 'k'}, {0, 0, 0, 0},
    };
    for (int key; (key = getopt_long(count, words, "", known, NULL)) != -1;) {
        if (key == 't') options.ttft = atof(optarg) / 1e3;
        else if (key == 'i') options.itl = atof(optarg) / 1e3;
        else if (key == 'p') options.port = atoi(optarg);
        else if (key == 'k') options.tokens_per_chunk = atol(optarg) > 0 ? atol(optarg) : 1;
        else if (key == 'l') { if (!(options.log = fopen(optarg, "w"))) fail(optarg); }
        else exit(2);
    }
}

int main(int count, char **words) {
    read_options(count, words);
    prepare();
    int listener = listen_here();
    struct epoll_event events[EVENTS];
    while (!stopped) {
        struct timespec wait = time_to_next();
        int ready = epoll_pwait2(epoll, events, EVENTS, &wait, NULL);
        for (int place = 0; place < ready; place++) {
            if (events[place].data.fd == listener) accept_all(listener);
            else serve(events[place]);
        }
        answer_due();
    }
    for (int fd = 0; fd < MAX_FDS; fd++)
        if (connections[fd]) close_connection(connections[fd]);
    if (options.log) fclose(options.log);
    return 0;
}
