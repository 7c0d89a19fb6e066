{#- Fails for rows that the tap has read and that are not in the tables. -#}
{{ config(enabled=is_loaded('import_jobs') or is_loaded('user_import_jobs')) }}

{%- set query %}
with jobs as (

    select * from {{ ref('fullstory_imports__jobs') }}

)

select
    'Job ' || job_id || ' of ' || kind || ': ' || loaded || ' of ' || coalesce(cast(reported as {{ sql_type('str') }}), '?')
    || ' rows are loaded, with ' || gaps || ' gaps; ' || coalesce(cast(failed_loaded as {{ sql_type('str') }}), '?')
    || ' of ' || coalesce(cast(failed as {{ sql_type('str') }}), '?') || ' failed rows, with ' || failed_gaps || ' gaps.' as problem
from jobs
where is_finished
    and not is_accepted
    and (gaps > 0 or failed_gaps > 0 or (loaded = 0 and reported > 0) or (failed_loaded = 0 and failed > 0))
{%- endset %}

{{ naming_problems(query) }}
