import io.etcd.jetcd.Client;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;

/**
 * Drives a cluster by jetcd with what its documentation shows, on TLS and, where users are named,
 * with their rights.
 *
 * <p>It prints one line a step with what it saw and ends at the first that fails. Settings: see
 * ../README.md.
 */
public final class Main {
    /** The longest time of one step, in seconds. */
    static final long LIMIT = 20;

    interface Run {
        String saw(Client client) throws Exception;
    }

    record Step(String name, Run run) {
    }

    public static void main(String[] arguments) throws Exception {
        List<Step> steps = new ArrayList<>(KeyValue.STEPS);
        steps.addAll(Streams.STEPS);
        steps.addAll(Contest.STEPS);
        if (Connect.setting("CLIENT_ROOT") != null) {
            steps.addAll(Rights.STEPS);
        }
        ExecutorService worker = Executors.newSingleThreadExecutor();
        try (Client client = Connect.as(Connect.setting("CLIENT_USER"), Connect.setting("CLIENT_PASSWORD"))) {
            for (Step step : steps) {
                String saw = worker.submit(() -> step.run().saw(client)).get(LIMIT, TimeUnit.SECONDS);
                System.out.println(step.name() + ": " + saw);
            }
        } catch (Exception failure) {
            failure.printStackTrace();
            // Threads of the client must not keep a failed run alive.
            System.exit(1);
        }
        System.exit(0);
    }

    /** What was seen, if it is what is right on any server. */
    static String check(String saw, String right) {
        if (!saw.equals(right)) {
            throw new AssertionError("saw \"" + saw + "\", expected \"" + right + "\"");
        }
        return saw;
    }

    private Main() {
    }
}
