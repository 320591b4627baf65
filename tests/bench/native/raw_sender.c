// The limit: files read and written to one TLS connection, nothing else. raw_sender PORT FILE...
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { BUFFER = 1 << 20 };

int main(int count, char **arguments) {
    static unsigned char buffer[BUFFER];
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(atoi(arguments[1])),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1, line = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(line, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    SSL *tls = SSL_new(SSL_CTX_new(TLS_client_method()));
    SSL_set_fd(tls, line);
    if (connect(line, (void *)&address, sizeof address) || SSL_connect(tls) <= 0) {
        fprintf(stderr, "no connection to port %s\n", arguments[1]);
        return 1;
    }
    for (int i = 2; i < count; i++) {
        int file = open(arguments[i], O_RDONLY);
        ssize_t got;
        while ((got = read(file, buffer, BUFFER)) > 0)
            if (SSL_write(tls, buffer, got) != got) return 1;
        if (file < 0 || got) {
            perror(arguments[i]);
            return 1;
        }
        close(file);
    }
    // The sink closes when it has read all.
    SSL_shutdown(tls);
    while (SSL_read(tls, buffer, BUFFER) > 0) continue;
}
