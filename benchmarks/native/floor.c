// The floor: what a client costs that does nothing but send, wait, read and note the time.
//
//   floor --port PORT --connections 64 --first 0 --rounds 4 --body-bytes 12000 --tokens 200 --log FILE
//
// One thread: epoll, recv, stamp. All connections are open before the first request is sent; then all start together,
// and each sends its next request when a response has ended, --rounds in all. FILE is CSV: x_request_id, sent_s (before
// the write), first_token_s (the read that brought it), end_s (seconds of CLOCK_MONOTONIC), reads. Prints the CPU
// seconds of the requests, without starting and connecting, by getrusage. Knows the answers of sse_server and no others.
// Several processes share a server: --first is the number of the first connection of this one.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { READ_SIZE = 1 << 18, EVENTS = 512, TAIL = 5 };

typedef struct {
    double sent, first_token, end;
    long reads;
} Stamps;

typedef struct {
    int fd, round, in_body;
    char tail[TAIL];  // the last bytes read: the end of a response may be cut anywhere
    size_t unsent;
    Stamps *stamps;  // one for each round
} Connection;

static struct { int port; long connections, first, rounds, body_bytes, tokens; FILE *log; } options = {
    .connections = 64, .rounds = 1, .body_bytes = 12000, .tokens = 200};
static char *body;
static int epoll;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec * 1e-9;
}

static double cpu(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_utime.tv_sec + usage.ru_stime.tv_sec + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

static void fail(const char *what) {
    fprintf(stderr, "floor: %s: %s\n", what, errno ? strerror(errno) : "not what the server should say");
    exit(1);
}

static void make_body(void) {
    static const char opening[] = "{\"model\":\"sim\",\"prompt\":\"";
    char ending[128];
    int end = snprintf(ending, sizeof ending, "\",\"max_tokens\":%ld,\"stream\":true}", options.tokens);
    long least = sizeof opening - 1 + end;
    if (options.body_bytes < least) options.body_bytes = least;
    body = malloc(options.body_bytes);
    if (!body) fail("memory");
    for (long place = 0; place < options.body_bytes; place++) body[place] = " word"[place % 5];
    memcpy(body, opening, sizeof opening - 1);
    memcpy(body + options.body_bytes - end, ending, end);
}

static void watch(Connection *connection, int operation) {
    unsigned events = EPOLLIN | (connection->unsent ? EPOLLOUT : 0);
    struct epoll_event event = {.events = events, .data.ptr = connection};
    if (epoll_ctl(epoll, operation, connection->fd, &event)) fail("epoll_ctl");
}

static void send_rest(Connection *connection) {
    while (connection->unsent) {
        const char *rest = body + options.body_bytes - connection->unsent;
        ssize_t count = send(connection->fd, rest, connection->unsent, MSG_NOSIGNAL);
        if (count < 0 && errno == EAGAIN) return;
        if (count < 0) fail("send");
        connection->unsent -= count;
    }
}

static void send_request(Connection *connection, long number) {
    char head[256];
    int length = snprintf(head, sizeof head,
                          "POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                          "X-Request-Id: floor-%ld-%d\r\nContent-Length: %ld\r\n\r\n",
                          options.first + number, connection->round, options.body_bytes);
    connection->in_body = 0;
    connection->unsent = options.body_bytes;
    connection->stamps[connection->round].sent = now();
    if (send(connection->fd, head, length, MSG_NOSIGNAL | MSG_MORE) != length) fail("send");
    send_rest(connection);
    if (connection->unsent) watch(connection, EPOLL_CTL_MOD);
}

static int ended(Connection *connection, const char *bytes, size_t count) {
    size_t kept = count < TAIL ? TAIL - count : 0;
    memmove(connection->tail, connection->tail + TAIL - kept, kept);
    memcpy(connection->tail + kept, bytes + count - (TAIL - kept), TAIL - kept);
    return !memcmp(connection->tail, "0\r\n\r\n", TAIL);
}

// Read once and note when; 1 when the response has ended.
static int receive(Connection *connection) {
    static char bytes[READ_SIZE];
    ssize_t count = recv(connection->fd, bytes, sizeof bytes, 0);
    double time = now();
    if (count < 0 && errno == EAGAIN) return 0;
    errno = count < 0 ? errno : 0;
    if (count <= 0) fail("recv");
    Stamps *stamps = &connection->stamps[connection->round];
    stamps->reads++;
    const char *start = bytes;
    if (!connection->in_body) {
        if (count < 12 || memcmp(bytes, "HTTP/1.1 200", 12)) fail("response");
        start = memmem(bytes, count, "\r\n\r\n", 4);
        if (!start) fail("headers");
        start += 4;
        connection->in_body = 1;
    }
    if (start < bytes + count && !stamps->first_token) stamps->first_token = time;
    if (!ended(connection, bytes, count)) return 0;
    stamps->end = time;
    return 1;
}

static Connection *connect_all(void) {
    Connection *all = calloc(options.connections, sizeof *all);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(options.port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int yes = 1;
    for (long number = 0; all && number < options.connections; number++) {
        Connection *connection = &all[number];
        connection->stamps = calloc(options.rounds, sizeof(Stamps));
        connection->fd = socket(AF_INET, SOCK_STREAM, 0);
        if (!connection->stamps || connection->fd < 0) fail("socket");
        if (connect(connection->fd, (struct sockaddr *)&address, sizeof address)) fail("connect");
        setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        fcntl(connection->fd, F_SETFL, O_NONBLOCK);
        watch(connection, EPOLL_CTL_ADD);
    }
    return all;
}

static void run(Connection *all) {
    struct epoll_event events[EVENTS];
    for (long number = 0; number < options.connections; number++) send_request(&all[number], number);
    for (long open = options.connections; open;) {
        int ready = epoll_wait(epoll, events, EVENTS, -1);
        for (int place = 0; place < ready; place++) {
            Connection *connection = events[place].data.ptr;
            if (events[place].events & EPOLLOUT) {
                send_rest(connection);
                if (!connection->unsent) watch(connection, EPOLL_CTL_MOD);
            }
            if (!(events[place].events & ~EPOLLOUT) || !receive(connection)) continue;
            if (++connection->round < options.rounds) send_request(connection, connection - all);
            else open--;
        }
    }
}

static void write_log(const Connection *all) {
    fputs("x_request_id,sent_s,first_token_s,end_s,reads\n", options.log);
    for (long number = 0; number < options.connections; number++)
        for (long round = 0; round < options.rounds; round++) {
            Stamps stamps = all[number].stamps[round];
            fprintf(options.log, "floor-%ld-%ld,%.9f,%.9f,%.9f,%ld\n", options.first + number, round, stamps.sent, stamps.first_token,
                    stamps.end, stamps.reads);
        }
    fclose(options.log);
}

static void read_options(int count, char **words) {
    static const struct option known[] = {
        {"port", 1, 0, 'p'}, {"connections", 1, 0, 'c'}, {"rounds", 1, 0, 'r'}, {"body-bytes", 1, 0, 'b'},
        {"tokens", 1, 0, 't'}, {"log", 1, 0, 'l'}, {"first", 1, 0, 'f'}, {0, 0, 0, 0},
    };
    for (int key; (key = getopt_long(count, words, "", known, NULL)) != -1;) {
        if (key == 'p') options.port = atoi(optarg);
        else if (key == 'c') options.connections = atol(optarg);
        else if (key == 'r') options.rounds = atol(optarg);
        else if (key == 'b') options.body_bytes = atol(optarg);
        else if (key == 'f') options.first = atol(optarg);
        else if (key == 't') options.tokens = atol(optarg);
        else if (key == 'l') { if (!(options.log = fopen(optarg, "w"))) fail(optarg); }
        else exit(2);
    }
    if (options.connections < 1 || options.rounds < 1) exit(2);
}

int main(int count, char **words) {
    read_options(count, words);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    if ((epoll = epoll_create1(EPOLL_CLOEXEC)) < 0) fail("epoll");
    make_body();
    Connection *all = connect_all();
    double before = cpu();
    run(all);
    printf("cpu_s %.6f\n", cpu() - before);
    if (options.log) write_log(all);
    return 0;
}
