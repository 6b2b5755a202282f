import io.etcd.jetcd.Client;
import io.etcd.jetcd.Election;
import io.etcd.jetcd.Lease;
import io.etcd.jetcd.Lock;
import io.etcd.jetcd.election.LeaderKey;
import io.etcd.jetcd.election.LeaderResponse;
import io.etcd.jetcd.options.GetOption;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/** Locks and elections, which are services of the server. */
final class Contest {
    static final List<Main.Step> STEPS = List.of(
        new Main.Step("lock", Contest::lock),
        new Main.Step("election", Contest::election));

    private static String lock(Client client) throws Exception {
        Lock locks = client.getLockClient();
        Lease leases = client.getLeaseClient();
        long first = Connect.await(leases.grant(60)).getID();
        long second = Connect.await(leases.grant(60)).getID();
        var held = Connect.await(locks.lock(Connect.key("lock"), first)).getKey();
        var waiting = locks.lock(Connect.key("lock"), second);
        queued(client, "lock/", 2);
        boolean early = waiting.isDone();
        Connect.await(locks.unlock(held));
        String key = Connect.text(Connect.await(waiting).getKey());
        Connect.await(leases.revoke(second));
        // The lease of the holder has ended, so nobody is before the next.
        var again = Connect.await(locks.lock(Connect.key("lock"), first)).getKey();
        Connect.await(locks.unlock(again));
        Connect.await(leases.revoke(first));
        return Main.check("early " + early + ", then " + key.startsWith(Connect.PREFIX + "lock/"), "early false, then true");
    }

    private static String election(Client client) throws Exception {
        Election elections = client.getElectionClient();
        Lease leases = client.getLeaseClient();
        var name = Connect.key("election");
        long lease = Connect.await(leases.grant(60)).getID();
        long other = Connect.await(leases.grant(60)).getID();
        List<String> saw = new ArrayList<>();
        saw.add(Connect.failure(elections.leader(name)));
        LeaderKey leader = Connect.await(elections.campaign(name, lease, Connect.bytes("first"))).getLeader();
        BlockingQueue<LeaderResponse> seen = new LinkedBlockingQueue<>();
        elections.observe(name, new Election.Listener() {
            @Override
            public void onNext(LeaderResponse answer) {
                seen.add(answer);
            }

            @Override
            public void onError(Throwable error) {
            }

            @Override
            public void onCompleted() {
            }
        });
        saw.add(next(seen));
        Connect.await(elections.proclaim(leader, Connect.bytes("again")));
        saw.add(next(seen));
        var waiting = elections.campaign(name, other, Connect.bytes("second"));
        queued(client, "election/", 2);
        Connect.await(elections.resign(leader));
        LeaderKey successor = Connect.await(waiting).getLeader();
        saw.add(next(seen));
        saw.add(Connect.failure(elections.proclaim(leader, Connect.bytes("no more"))));
        Connect.await(elections.resign(successor));
        Connect.await(leases.revoke(lease));
        Connect.await(leases.revoke(other));
        return Main.check(String.join(", ", saw), "NoLeaderException null, first, again, second, NotLeaderException null");
    }

    /** Returns once so many stand in line, by their keys. */
    private static void queued(Client client, String line, long count) throws Exception {
        GetOption option = GetOption.builder().isPrefix(true).withCountOnly(true).build();
        long seen = 0;
        while (seen != count) {
            seen = Connect.await(client.getKVClient().get(Connect.key(line), option)).getCount();
        }
    }

    private static String next(BlockingQueue<LeaderResponse> seen) throws Exception {
        LeaderResponse leader = seen.poll(Main.LIMIT, TimeUnit.SECONDS);
        return leader == null ? "nobody" : Connect.text(leader.getKv().getValue());
    }

    private Contest() {
    }
}
