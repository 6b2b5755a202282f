import io.etcd.jetcd.Client;
import io.etcd.jetcd.Lease;
import io.etcd.jetcd.Watch;
import io.etcd.jetcd.lease.LeaseKeepAliveResponse;
import io.etcd.jetcd.options.LeaseOption;
import io.etcd.jetcd.options.PutOption;
import io.etcd.jetcd.options.WatchOption;
import io.etcd.jetcd.support.CloseableClient;
import io.etcd.jetcd.support.Observers;
import io.etcd.jetcd.watch.WatchEvent;
import io.etcd.jetcd.watch.WatchResponse;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/** Leases and watches. */
final class Streams {
    static final List<Main.Step> STEPS = List.of(
        new Main.Step("lease", Streams::lease),
        new Main.Step("lease kept alive", Streams::keepAlive),
        new Main.Step("watch", Streams::watch),
        new Main.Step("watch below a compaction", Streams::watchCompacted));

    private static String lease(Client client) throws Exception {
        Lease leases = client.getLeaseClient();
        long id = Connect.await(leases.grant(60)).getID();
        var put = PutOption.builder().withLeaseId(id).build();
        Connect.await(client.getKVClient().put(Connect.key("leased"), Connect.bytes("v"), put));
        long beat = Connect.await(leases.keepAliveOnce(id)).getTTL();
        var left = Connect.await(leases.timeToLive(id, LeaseOption.builder().withAttachedKeys().build()));
        String keys = Connect.text(left.getKeys().get(0));
        Connect.await(leases.revoke(id));
        long count = Connect.await(client.getKVClient().get(Connect.key("leased"))).getCount();
        return Main.check(beat + " of " + left.getGrantedTTL() + " for " + keys + ", then " + count + " records; "
            + Connect.failure(leases.revoke(id)),
            "60 of 60 for clients/java/leased, then 0 records; StatusRuntimeException NOT_FOUND: etcdserver: requested lease not found");
    }

    /** A lease of three seconds, which lives longer by its beats. */
    private static String keepAlive(Client client) throws Exception {
        Lease leases = client.getLeaseClient();
        long id = Connect.await(leases.grant(3)).getID();
        BlockingQueue<LeaseKeepAliveResponse> beats = new LinkedBlockingQueue<>();
        long ttl = 0;
        try (CloseableClient keeper = leases.keepAlive(id, Observers.observer(beats::add))) {
            long until = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(4500);
            while (System.nanoTime() < until) {
                ttl = beats.poll(Main.LIMIT, TimeUnit.SECONDS).getTTL();
            }
        }
        boolean alive = Connect.await(leases.timeToLive(id, LeaseOption.DEFAULT)).getTTL() > 0;
        Connect.await(leases.revoke(id));
        return Main.check("beat " + ttl + ", alive " + alive, "beat 3, alive true");
    }

    private static String watch(Client client) throws Exception {
        BlockingQueue<WatchEvent> events = new LinkedBlockingQueue<>();
        var made = new CompletableFuture<Boolean>();
        WatchOption option = WatchOption.builder().isPrefix(true).withPrevKV(true).withCreateNotify(true).build();
        List<String> saw = new ArrayList<>();
        Watch.Listener listener = Watch.listener(answer -> {
            made.complete(answer.isCreatedNotify());
            events.addAll(answer.getEvents());
        });
        try (Watch.Watcher watcher = client.getWatchClient().watch(Connect.key("watched"), option, listener)) {
            saw.add("made " + Connect.await(made));
            var kv = client.getKVClient();
            Connect.await(kv.put(Connect.key("watched1"), Connect.bytes("a")));
            Connect.await(kv.put(Connect.key("watched1"), Connect.bytes("b")));
            Connect.await(kv.delete(Connect.key("watched1")));
            for (int i = 0; i < 3; i++) {
                WatchEvent event = events.poll(Main.LIMIT, TimeUnit.SECONDS);
                saw.add(event.getEventType() + " " + Connect.text(event.getKeyValue().getValue()) + " before "
                    + Connect.text(event.getPrevKV().getValue()));
            }
        }
        return Main.check(String.join(", ", saw), "made true, PUT a before , PUT b before a, DELETE  before b");
    }

    /** From the first revision, which {@link KeyValue} has compacted. */
    private static String watchCompacted(Client client) throws Exception {
        var ended = new CompletableFuture<WatchResponse>();
        WatchOption option = WatchOption.builder().withRevision(1).build();
        try (Watch.Watcher watcher = client.getWatchClient().watch(Connect.key("compacted"), option,
            Watch.listener(ended::complete, ended::completeExceptionally))) {
            String failure = Connect.failure(ended);
            return Main.check(failure, "CompactedException etcdserver: mvcc: required revision has been compacted");
        }
    }

    private Streams() {
    }
}
