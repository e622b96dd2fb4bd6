import os, pytest
from concurrent.futures import ThreadPoolExecutor
from tests.fix_s3 import place
from tests.faults import FaultyProxy
@pytest.mark.parametrize("through", [0,1])
@pytest.mark.parametrize("n", range(40))
def test_c(n, through):
    p=place("rclone"); content=os.urandom(2**20)
    with FaultyProxy(p.server.url) as proxy, ThreadPoolExecutor(4) as pool:
        b=p.through(proxy.url) if through else p
        list(pool.map(lambda i: b.put(f"{i}.dat", content[:i*100000]), range(1,11)))
        for i, f in enumerate(pool.map(lambda i: b.get(f"{i}.dat"), range(1,11)), start=1): assert f == content[:i*100000]
