import sys, time, collections
from stage import *
from running import run
from chance import written
a,b=int(sys.argv[1]),int(sys.argv[2])
show=len(sys.argv)>3
with operating_system(), staged() as stage:
    n=collections.Counter(); t=0; first={}
    for s in range(a,b):
        try:
            o=run(stage,s)
        except Exception as e:
            print(s,"ERROR",type(e).__name__,str(e)[:300]); n["ERROR"]+=1
            if show: raise
            continue
        t+=o.seconds
        for k in o.kinds: n[k]+=1; first.setdefault(k,s)
        if o.violations: print(s, round(o.seconds,2), [f"{v.kind}: {v.text}"[:160] for v in o.violations])
        if show: print("\n".join(o.trace)); print(written(o.course))
    print(n, first, "CPU a seed", t/(b-a))
