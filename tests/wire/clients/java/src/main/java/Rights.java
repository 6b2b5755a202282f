import io.etcd.jetcd.Auth;
import io.etcd.jetcd.ByteSequence;
import io.etcd.jetcd.Client;
import io.etcd.jetcd.auth.Permission;

import java.util.ArrayList;
import java.util.List;

/** What users may and may not do. */
final class Rights {
    static final List<Main.Step> STEPS = List.of(
        new Main.Step("rights", Rights::refusals),
        new Main.Step("rights: root", Rights::root));

    private static String refusals(Client client) throws Exception {
        var elsewhere = Connect.bytes("elsewhere");
        List<String> saw = new ArrayList<>();
        saw.add(Connect.failure(client.getKVClient().put(elsewhere, elsewhere)));
        saw.add(Connect.failure(client.getKVClient().get(elsewhere)));
        saw.add(Connect.failure(client.getAuthClient().userList()));
        try (Client wrong = Connect.as(Connect.setting("CLIENT_USER"), "wrong"); Client nobody = Connect.as(null, null)) {
            saw.add(Connect.failure(wrong.getKVClient().get(Connect.key("test_key"))));
            saw.add(Connect.failure(nobody.getKVClient().get(Connect.key("test_key"))));
        }
        String denied = "StatusRuntimeException PERMISSION_DENIED: etcdserver: permission denied";
        // A failed authentication has no text of the server's in this library.
        return Main.check(String.join("; ", saw), denied + "; " + denied + "; EtcdException etcdserver: permission denied; "
            + "StatusRuntimeException UNAUTHENTICATED; "
            + "StatusRuntimeException INVALID_ARGUMENT: etcdserver: user name is empty");
    }

    /** root makes a role and a user, whose rights end with the role. */
    private static String root(Client client) throws Exception {
        ByteSequence elsewhere = Connect.bytes("elsewhere");
        ByteSequence name = Connect.bytes("java-reader");
        ByteSequence password = Connect.bytes("secret");
        List<String> saw = new ArrayList<>();
        try (Client root = Connect.as(Connect.setting("CLIENT_ROOT"), Connect.setting("CLIENT_ROOT_PASSWORD"))) {
            Connect.await(root.getKVClient().put(elsewhere, Connect.bytes("java")));
            Auth auth = root.getAuthClient();
            Connect.await(auth.roleAdd(name));
            Connect.await(auth.roleGrantPermission(name, elsewhere, Connect.bytes("elsewherf"), Permission.Type.READ));
            Connect.await(auth.userAdd(name, password));
            Connect.await(auth.userGrantRole(name, name));
            try (Client reader = Connect.as("java-reader", "secret")) {
                saw.add(KeyValue.records(Connect.await(reader.getKVClient().get(elsewhere))));
                saw.add(Connect.failure(reader.getKVClient().put(elsewhere, elsewhere)));
            }
            saw.add(Connect.await(auth.roleGet(name)).getPermissions().get(0).getPermType().toString());
            Connect.await(auth.userDelete(name));
            Connect.await(auth.roleDelete(name));
            saw.add(Connect.await(auth.userList()).getUsers().stream().sorted().toList().toString());
        }
        return Main.check(String.join("; ", saw), "1 [elsewhere=java]; "
            + "StatusRuntimeException PERMISSION_DENIED: etcdserver: permission denied; READ; [app, root]");
    }

    private Rights() {
    }
}
