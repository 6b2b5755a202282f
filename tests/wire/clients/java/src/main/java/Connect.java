import io.etcd.jetcd.ByteSequence;
import io.etcd.jetcd.Client;
import io.etcd.jetcd.ClientBuilder;

import java.io.File;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;

/** Connections, and the values that calls take. */
final class Connect {
    /** All keys of this program begin with it; the restricted user may use no others. */
    static final String PREFIX = "clients/java/";

    /** A client of all members; a user that is null is none. */
    static Client as(String user, String password) throws Exception {
        ClientBuilder builder = Client.builder()
            .endpoints(setting("CLIENT_ENDPOINTS").split(","))
            .sslContext(tls -> tls.trustManager(new File(setting("CLIENT_CA"))))
            // A call that is refused is refused for good.
            .retryMaxAttempts(1)
            .connectTimeout(Duration.ofSeconds(5));
        if (user != null) {
            builder.user(bytes(user)).password(bytes(password));
        }
        return builder.build();
    }

    static String setting(String name) {
        return System.getenv(name);
    }

    static ByteSequence bytes(String text) {
        return ByteSequence.from(text, StandardCharsets.UTF_8);
    }

    /** A key of this program. */
    static ByteSequence key(String name) {
        return bytes(PREFIX + name);
    }

    static String text(ByteSequence bytes) {
        return bytes.toString(StandardCharsets.UTF_8);
    }

    /** The answer, within the limit. */
    static <T> T await(Future<T> call) throws Exception {
        return call.get(Main.LIMIT, TimeUnit.SECONDS);
    }

    /** Class and message of the error that a call ends with. */
    static String failure(Future<?> call) throws Exception {
        try {
            return "no error but " + await(call);
        } catch (ExecutionException error) {
            Throwable cause = error.getCause();
            return cause.getClass().getSimpleName() + " " + cause.getMessage();
        }
    }

    private Connect() {
    }
}
