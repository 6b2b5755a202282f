import io.etcd.jetcd.Client;
import io.etcd.jetcd.KV;
import io.etcd.jetcd.kv.DeleteResponse;
import io.etcd.jetcd.kv.GetResponse;
import io.etcd.jetcd.kv.TxnResponse;
import io.etcd.jetcd.op.Cmp;
import io.etcd.jetcd.op.CmpTarget;
import io.etcd.jetcd.op.Op;
import io.etcd.jetcd.options.DeleteOption;
import io.etcd.jetcd.options.GetOption;
import io.etcd.jetcd.options.PutOption;

import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;

/** Keys and values. */
final class KeyValue {
    static final List<Main.Step> STEPS = List.of(
        new Main.Step("put and get", KeyValue::putGet),
        new Main.Step("get by prefix", KeyValue::getPrefix),
        new Main.Step("get at a revision", KeyValue::getRevision),
        new Main.Step("compaction", KeyValue::compaction),
        new Main.Step("delete", KeyValue::delete),
        new Main.Step("txn", KeyValue::txn));

    /** Records as key=value, without this program's prefix. */
    static String records(GetResponse answer) {
        return answer.getCount() + answer.getKvs().stream()
            .map(kv -> Connect.text(kv.getKey()).replace(Connect.PREFIX, "") + "=" + Connect.text(kv.getValue()))
            .collect(Collectors.joining(" ", " [", "]"));
    }

    private static String putGet(Client client) throws Exception {
        KV kv = client.getKVClient();
        Connect.await(kv.put(Connect.key("test_key"), Connect.bytes("test_value")));
        PutOption withBefore = PutOption.builder().withPrevKV().build();
        var put = Connect.await(kv.put(Connect.key("test_key"), Connect.bytes("second"), withBefore));
        GetResponse got = Connect.await(kv.get(Connect.key("test_key")));
        return Main.check(Connect.text(put.getPrevKv().getValue()) + ", " + records(got) + " version "
            + got.getKvs().get(0).getVersion(), "test_value, 1 [test_key=second] version 2");
    }

    private static String getPrefix(Client client) throws Exception {
        KV kv = client.getKVClient();
        for (int i = 0; i < 3; i++) {
            Connect.await(kv.put(Connect.key("key" + i), Connect.bytes("" + i)));
        }
        GetOption.Builder sorted = GetOption.builder().isPrefix(true)
            .withSortField(GetOption.SortTarget.KEY).withSortOrder(GetOption.SortOrder.DESCEND);
        GetResponse all = Connect.await(kv.get(Connect.key("key"), sorted.build()));
        GetResponse some = Connect.await(kv.get(Connect.key("key"), sorted.withLimit(2).withKeysOnly(true).build()));
        GetResponse count = Connect.await(
            kv.get(Connect.key("key"), GetOption.builder().isPrefix(true).withCountOnly(true).build()));
        return Main.check(records(all) + "; " + records(some) + " more " + some.isMore() + "; " + records(count),
            "3 [key2=2 key1=1 key0=0]; 3 [key2= key1=] more true; 3 []");
    }

    private static String getRevision(Client client) throws Exception {
        KV kv = client.getKVClient();
        long old = Connect.await(kv.put(Connect.key("revised"), Connect.bytes("old"))).getHeader().getRevision();
        Connect.await(kv.put(Connect.key("revised"), Connect.bytes("new")));
        GetOption then = GetOption.builder().withRevision(old).build();
        GetOption future = GetOption.builder().withRevision(old + 1000).build();
        return Main.check(records(Connect.await(kv.get(Connect.key("revised"), then))) + "; "
            + Connect.failure(kv.get(Connect.key("revised"), future)),
            "1 [revised=old]; StatusRuntimeException OUT_OF_RANGE: etcdserver: mvcc: required revision is a future revision");
    }

    private static String compaction(Client client) throws Exception {
        KV kv = client.getKVClient();
        long first = Connect.await(kv.put(Connect.key("compacted"), Connect.bytes("1"))).getHeader().getRevision();
        Connect.await(kv.put(Connect.key("compacted"), Connect.bytes("2")));
        String root = Connect.setting("CLIENT_ROOT");
        if (root == null) {
            Connect.await(kv.compact(first + 1));
        } else {
            // Where the cluster asks for users only root may.
            try (Client other = Connect.as(root, Connect.setting("CLIENT_ROOT_PASSWORD"))) {
                Connect.await(other.getKVClient().compact(first + 1));
            }
        }
        GetOption before = GetOption.builder().withRevision(first).build();
        return Main.check(Connect.failure(kv.get(Connect.key("compacted"), before)),
            "StatusRuntimeException OUT_OF_RANGE: etcdserver: mvcc: required revision has been compacted");
    }

    private static String delete(Client client) throws Exception {
        KV kv = client.getKVClient();
        DeleteOption before = DeleteOption.builder().withPrevKV(true).build();
        DeleteResponse one = Connect.await(kv.delete(Connect.key("key0"), before));
        DeleteOption prefix = DeleteOption.builder().isPrefix(true).build();
        long rest = Connect.await(kv.delete(Connect.key("key"), prefix)).getDeleted();
        long none = Connect.await(kv.delete(Connect.key("key"), prefix)).getDeleted();
        return Main.check(one.getDeleted() + " (" + Connect.text(one.getPrevKvs().get(0).getValue()) + "), " + rest
            + ", " + none, "1 (0), 2, 0");
    }

    private static String txn(Client client) throws Exception {
        KV kv = client.getKVClient();
        var key = Connect.key("txn");
        Connect.await(kv.put(key, Connect.bytes("xyz")));
        List<String> saw = new ArrayList<>();
        for (int i = 0; i < 2; i++) {
            TxnResponse answer = Connect.await(kv.txn()
                .If(new Cmp(key, Cmp.Op.GREATER, CmpTarget.value(Connect.bytes("abc"))))
                .Then(Op.put(key, Connect.bytes("XYZ"), PutOption.DEFAULT))
                .Else(Op.get(key, GetOption.DEFAULT), Op.put(key, Connect.bytes("ABC"), PutOption.DEFAULT))
                .commit());
            saw.add(answer.isSucceeded() + " " + answer.getPutResponses().size() + " " + answer.getGetResponses().size());
        }
        saw.add(records(Connect.await(kv.get(key))));
        return Main.check(String.join("; ", saw), "true 1 0; false 1 1; 1 [txn=ABC]");
    }

    private KeyValue() {
    }
}
