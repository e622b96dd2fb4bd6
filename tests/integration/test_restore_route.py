import time
from tests.fix_cli import Flagsnap
from tests.fix_databases import Database
from tests.integration.deploys import *
def test_x(database: Database, flagsnap: Flagsnap) -> None:
    t=time.time()
    deploy(database, flagsnap)
    print("deploy", time.time()-t); t=time.time()
    r=flagsnap.within(*TO_RECORDED)
    print("rollback", time.time()-t, r.out, r.err); t=time.time()
    assert is_recorded(database)
    u=flagsnap.within("undo")
    print("undo", time.time()-t, u.out, u.err); t=time.time()
